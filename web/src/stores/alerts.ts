import { defineStore } from 'pinia'
import { computed, ref, shallowRef, watch } from 'vue'
import { get, problemOf } from '../api/client'
import type { Alert, AlertPage, Problem } from '../api/types'
import { useLive } from './live'

const ALERTS_MAX = 100 // held in the browser; the log has all
const AGAIN_MS = 2000 // at most so often is the list read again
const FRESH_MS = 15_000 // a live alert may be on the page before it is in the store

/** Alerts of the last 24 hours as the server last told them. */
export const useAlerts = defineStore('alerts', () => {
  const live = useLive()
  const items = shallowRef<Alert[]>([])
  const total = ref(0)
  const state = ref<'idle' | 'loading' | 'ready' | 'failed'>('idle')
  const problem = shallowRef<Problem | null>(null)
  const newest = shallowRef<Alert | null>(null) // the last that came live, or was over, to be announced
  const bySeverity = ref<Record<string, number>>({})
  const needing = computed(() => items.value.filter((alert) =>
    alert.state === 'new' && (alert.severity === 'high' || alert.severity === 'critical')))

  let known = 0 // revision of the list that is shown
  let timer = 0
  let askedAt = -AGAIN_MS
  const cameAt = new Map<string, number>()

  const newestFirst = (alerts: Alert[]) =>
    alerts.sort((a, b) => b.last.localeCompare(a.last) || a.id.localeCompare(b.id)).slice(0, ALERTS_MAX)

  async function load() {
    askedAt = performance.now()
    if (state.value === 'idle') state.value = 'loading'
    try {
      const page = await get<AlertPage>('/api/v1/alerts', { from: '-24h', limit: ALERTS_MAX })
      known = page.rev
      const ids = new Set(page.items.map((alert) => alert.id))
      const now = performance.now()
      const fresh = items.value.filter((alert) => !ids.has(alert.id) && now - (cameAt.get(alert.id) ?? -FRESH_MS) < FRESH_MS)
      const had = new Map(items.value.map((alert) => [alert.id, alert]))
      const better = page.items.map((alert) => {
        const other = had.get(alert.id)
        return other && other.rev > alert.rev ? other : alert
      })
      items.value = newestFirst([...fresh, ...better])
      total.value = page.total + fresh.length
      bySeverity.value = page.by_severity
      state.value = 'ready'
      problem.value = null
    } catch (error) {
      problem.value = problemOf(error)
      if (state.value === 'loading') state.value = 'failed'
    }
  }

  /** Read the list again soon; many reasons in a row are one reading. */
  function soon() {
    if (!timer) timer = window.setTimeout(() => { timer = 0; void load() }, AGAIN_MS)
  }

  function upsert({ alert, rev }: { alert: Alert, rev: number }) {
    const had = items.value.find((other) => other.id === alert.id)
    if (rev === known + 1) known = rev
    cameAt.set(alert.id, performance.now())
    if (cameAt.size > ALERTS_MAX * 2) cameAt.delete(cameAt.keys().next().value ?? '')
    items.value = newestFirst([alert, ...items.value.filter((other) => other.id !== alert.id)])
    if (!had) total.value++
    if (!had || had.ended !== alert.ended) newest.value = alert
  }

  live.on('alert', upsert)
  live.on('connected', () => { if (performance.now() - askedAt >= AGAIN_MS) void load() }) // not twice when the page opens
  live.on('visible', soon)
  live.on('cleared', () => {
    items.value = []
    cameAt.clear()
    total.value = 0
    void load()
  })
  watch(() => live.rev, (rev) => { if (rev !== known && state.value === 'ready') soon() })

  const one = (id: string) => get<Alert & { raw: unknown }>(`/api/v1/alerts/${encodeURIComponent(id)}`)
  return { items, total, state, problem, newest, needing, bySeverity, load, one }
})
