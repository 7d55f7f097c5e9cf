import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'
import { get, patch, problemOf, remove } from '../api/client'
import type { Problem, Schedule } from '../api/types'

/** Everything that runs at times, of any kind. */
export const useSchedules = defineStore('schedules', () => {
  const items = shallowRef<Schedule[]>([])
  const state = ref<'loading' | 'ready' | 'failed'>('loading')
  const problem = shallowRef<Problem | null>(null)

  async function load() {
    try {
      items.value = (await get<{ items: Schedule[] }>('/api/v1/schedules')).items
      state.value = 'ready'
      problem.value = null
    } catch (error) {
      problem.value = problemOf(error)
      state.value = 'failed'
    }
  }
  async function act(done: Promise<unknown>) {
    try {
      await done
      await load()
    } catch (error) {
      problem.value = problemOf(error)
      state.value = 'failed'
    }
  }
  const toggle = (id: number, enabled: boolean) => act(patch(`/api/v1/schedules/${id}`, { enabled }))
  const drop = (id: number) => act(remove(`/api/v1/schedules/${id}`))
  return { items, state, problem, load, toggle, drop }
})
