import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'
import { get, problemOf } from '../api/client'
import type { Health, HealthHistory, Problem } from '../api/types'

const AGAIN_MS = 5_000
const HISTORY_EVERY = 12 // once a minute: the store gets a value a minute
const LAST_DAY = { from: '-24h', series: 'probe.', step: 600 }

/** How the monitor and the network are; asked again while somebody looks. */
export const useHealth = defineStore('health', () => {
  const health = shallowRef<Health | null>(null)
  const history = shallowRef<HealthHistory>({})
  const state = ref<'loading' | 'ready' | 'failed'>('loading')
  const problem = shallowRef<Problem | null>(null)
  const askedAt = ref(0)
  let timer = 0
  let turn = 0

  async function load() {
    try {
      health.value = await get<Health>('/api/v1/health')
      if (turn++ % HISTORY_EVERY === 0) history.value = (await get<{ items: HealthHistory }>('/api/v1/health/history', LAST_DAY)).items
      state.value = 'ready'
      problem.value = null
      askedAt.value = Date.now() / 1000
    } catch (error) {
      problem.value = problemOf(error)
      state.value = 'failed'
    }
  }

  /** Ask now and again until the returned function is called. */
  function watch() {
    turn = 0
    void load()
    window.clearInterval(timer)
    timer = window.setInterval(() => { if (!document.hidden) void load() }, AGAIN_MS)
    return () => window.clearInterval(timer)
  }
  return { health, history, state, problem, askedAt, load, watch }
})
