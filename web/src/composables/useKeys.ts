import { onScopeDispose } from 'vue'
import { useSettings } from '../stores/settings'

/** Single-key shortcuts of the page; never while typing, never with a modifier, and they can be switched off. */
export function useKeys(keys: Record<string, () => void>) {
  const settings = useSettings()
  function onKey(event: KeyboardEvent) {
    const target = event.target as HTMLElement
    const typing = target.matches('input, textarea, select, [contenteditable]')
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
    if (target.closest('[role=dialog][data-modal], [role=menu]')) return
    const action = keys[event.key]
    if (!action || (event.key !== 'Escape' && (typing || !settings.singleKeys))) return
    if (event.key === ' ' && target.matches('button, a, summary, [role=slider]')) return // it presses them
    event.preventDefault()
    action()
  }
  window.addEventListener('keydown', onKey)
  onScopeDispose(() => window.removeEventListener('keydown', onKey))
}
