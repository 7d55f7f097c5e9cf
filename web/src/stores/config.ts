import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'
import { get, problemOf, put, remove } from '../api/client'
import type { Problem, SettingSection, SettingsChanged } from '../api/types'

/** The settings of the service: what is in effect and where it is from. */
export const useConfig = defineStore('config', () => {
  const sections = shallowRef<SettingSection[]>([])
  const state = ref<'loading' | 'ready' | 'failed'>('loading')
  const problem = shallowRef<Problem | null>(null)

  async function load() {
    try {
      sections.value = (await get<{ items: SettingSection[] }>('/api/v1/settings')).items
      state.value = 'ready'
      problem.value = null
    } catch (error) {
      problem.value = problemOf(error)
      state.value = 'failed'
    }
  }
  const path = (key: string) => `/api/v1/settings/${encodeURIComponent(key)}`
  /** Set one, or give it back with `undefined`; where or when it takes effect. */
  async function change(key: string, value: unknown): Promise<string> {
    const made = await (value === undefined ? remove<SettingsChanged>(path(key)) : put<SettingsChanged>(path(key), { value }))
    sections.value = made.items
    return made.effect
  }
  return { sections, state, problem, load, change }
})
