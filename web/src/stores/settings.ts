import { defineStore } from 'pinia'
import { ref, watch } from 'vue'

export type Theme = 'system' | 'light' | 'dark'
const THEME = 'nsm-theme'
const KEYS = 'nsm-keys'

const read = (key: string) => {
  try {
    return localStorage.getItem(key)
  } catch {
    return null // storage is blocked: defaults
  }
}
const keep = (key: string, value: string | null) => {
  try {
    if (value === null) localStorage.removeItem(key)
    else localStorage.setItem(key, value)
  } catch { /* storage is blocked: it lasts as long as the page */ }
}

/** What this browser keeps: theme and single-key shortcuts. */
export const useSettings = defineStore('settings', () => {
  const stored = read(THEME)
  const theme = ref<Theme>(stored === 'light' || stored === 'dark' ? stored : 'system')
  const singleKeys = ref(read(KEYS) !== 'off')
  watch(theme, (value) => {
    if (value === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = value
    keep(THEME, value === 'system' ? null : value)
  })
  watch(singleKeys, (on) => keep(KEYS, on ? null : 'off'))
  return { theme, singleKeys }
})
