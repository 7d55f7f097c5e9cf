import { onScopeDispose, ref } from 'vue'

/** The time in seconds, once a second: for ages. */
export function useNow() {
  const now = ref(Date.now() / 1000)
  const timer = setInterval(() => { now.value = Date.now() / 1000 }, 1000)
  onScopeDispose(() => clearInterval(timer))
  return now
}
