import { onScopeDispose } from 'vue'
import { useSettings } from '../stores/settings'

const SEQUENCE_MS = 1_500 // between the keys of a pair

/** Shortcuts of the page, one key or a pair (`g c`); never while typing, never with a modifier, and they can be switched off. */
export function useKeys(keys: Record<string, () => void>) {
  const settings = useSettings()
  let before = ''
  let pressedAt = 0
  function onKey(event: KeyboardEvent) {
    const target = event.target as HTMLElement
    const typing = target.matches('input, textarea, select, [contenteditable]')
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
    if (target.closest('[role=dialog][data-modal], [role=menu]')) return
    if (event.key !== 'Escape' && (typing || !settings.singleKeys)) return
    const pair = event.timeStamp - pressedAt < SEQUENCE_MS ? `${before} ${event.key}` : ''
    before = event.key
    pressedAt = event.timeStamp
    const action = keys[pair] ?? keys[event.key]
    if (!action) return
    if (event.key === ' ' && target.matches('button, a, summary, [role=slider]')) return // it presses them
    event.preventDefault()
    action()
  }
  window.addEventListener('keydown', onKey)
  onScopeDispose(() => window.removeEventListener('keydown', onKey))
}
