import { defineStore } from 'pinia'
import { shallowRef } from 'vue'

const TOASTS_MAX = 3
const SHOWN_MS = 6000

/** Short notices at the edge of the page; the oldest leave. */
export const useToasts = defineStore('toasts', () => {
  const items = shallowRef<{ id: number, text: string }[]>([])
  let count = 0
  function say(text: string) {
    const id = ++count
    items.value = [...items.value, { id, text }].slice(-TOASTS_MAX)
    setTimeout(() => { items.value = items.value.filter((item) => item.id !== id) }, SHOWN_MS)
  }
  return { items, say }
})
