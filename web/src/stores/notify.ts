import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'
import { get, post, problemOf } from '../api/client'
import type { Channel, Problem } from '../api/types'

/** Channels over which alerts are told. */
export const useNotify = defineStore('notify', () => {
  const channels = shallowRef<Channel[]>([])
  const state = ref<'loading' | 'ready' | 'failed'>('loading')
  const problem = shallowRef<Problem | null>(null)

  async function load() {
    try {
      channels.value = (await get<{ items: Channel[] }>('/api/v1/notify')).items
      state.value = 'ready'
      problem.value = null
    } catch (error) {
      problem.value = problemOf(error)
      state.value = 'failed'
    }
  }
  const test = (name: string) => post(`/api/v1/notify/${encodeURIComponent(name)}/test`)
  return { channels, state, problem, load, test }
})
