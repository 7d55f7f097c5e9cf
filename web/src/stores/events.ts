import { defineStore } from 'pinia'
import { computed, ref, shallowRef } from 'vue'
import { get, problemOf, withQuery } from '../api/client'
import type { EventPage, Problem, Row, RowsFrame } from '../api/types'
import { useLive } from './live'

const ROWS_MAX = 2000 // held in the browser; older ones are a query or an export away
const PAGE = 200
const POLL_MS = 5000
const SETTLE_MS = 3000 // what the store had not yet when the page asked
const SAMPLE_SHOWN_MS = 2500

/** Which rows: all that decides it is in the address of the page. */
export interface View { q: string, type: string, from: string, to: string }

export const keyOf = (row: Row) => row.alert_id ? `a${row.alert_id}` : `f${row.flow_id}`
const isRelative = (view: View) => !view.to || view.to === 'now'

/** Rows with the newer ones on top; one that is there already moves up. */
function merged(newer: Row[], older: Row[]): Row[] {
  const keys = new Set<string>()
  const out: Row[] = []
  for (const row of [...newer, ...older]) {
    const key = keyOf(row)
    if (!keys.has(key)) {
      keys.add(key)
      out.push(row)
    }
  }
  return out.sort((a, b) => b.ts - a.ts).slice(0, ROWS_MAX)
}

/** The event log: stored rows of the view, and live ones on top. */
export const useEvents = defineStore('events', () => {
  const live = useLive()
  const view = ref<View>({ q: '', type: 'all', from: '-24h', to: 'now' })
  const rows = shallowRef<Row[]>([])
  const held = shallowRef<Row[]>([])
  const holding = ref(false)
  const paused = ref(false)
  const total = ref<number | null>(null)
  const tookMs = ref(0)
  const without = shallowRef<EventPage['without']>([])
  const next = ref<string | null>(null)
  const state = ref<'idle' | 'loading' | 'ready' | 'failed'>('idle')
  const problem = shallowRef<Problem | null>(null)
  const sample = shallowRef<{ seen: number, shown: number } | null>(null)
  const polled = shallowRef<string[]>([]) // fields that live rows do not have
  const isLive = computed(() => isRelative(view.value) && !paused.value)

  let asking: AbortController | null = null
  let settle = 0
  let poll = 0
  let sampledAt = 0
  const query = (more: Record<string, string | number> = {}) => ({ ...view.value, ...more })

  /** Read the view from the store. `quietly`: rows that are shown stay, and none is taken away. */
  async function load(quietly = false) {
    asking?.abort()
    const mine = asking = new AbortController()
    if (!quietly) state.value = 'loading'
    try {
      const page = await get<EventPage>('/api/v1/events', query({ limit: PAGE }), mine.signal)
      if (quietly && holding.value) {
        const had = new Set(rows.value.map(keyOf))
        held.value = merged(page.items.filter((row) => !had.has(keyOf(row)) && row.ts > (rows.value[0]?.ts ?? 0)), held.value)
      } else {
        rows.value = quietly ? merged(page.items, rows.value) : page.items
        if (!quietly) held.value = []
      }
      if (!quietly || rows.value.length <= PAGE) next.value = page.next
      total.value = page.total
      tookMs.value = page.took_ms
      without.value = page.without
      problem.value = null
      state.value = 'ready'
    } catch (error) {
      if (mine.signal.aborted) return
      problem.value = problemOf(error)
      state.value = 'failed'
    }
  }

  /** Older rows, for the end of the list; at most `ROWS_MAX` are held. */
  async function more() {
    if (!next.value || state.value === 'loading' || rows.value.length >= ROWS_MAX) return
    const after = next.value
    next.value = null
    try {
      const page = await get<EventPage>('/api/v1/events', query({ limit: PAGE, after }))
      rows.value = merged(rows.value, page.items)
      next.value = page.next
    } catch {
      next.value = after // scrolling on tries again
    }
  }

  async function subscribe() {
    clearInterval(poll)
    clearTimeout(settle)
    sample.value = null
    polled.value = []
    if (!isLive.value) {
      await live.ask('unsubscribe', { ch: 'rows' })
      return
    }
    const told = await live.ask<{ live?: boolean, fields?: string[] }>(
      'subscribe', { ch: 'rows', q: view.value.q, type: view.value.type, max: PAGE })
    if (told?.live === false) {
      polled.value = told.fields ?? []
      poll = window.setInterval(() => void load(true), POLL_MS)
    } else {
      settle = window.setTimeout(() => void load(true), SETTLE_MS)
    }
  }

  async function show(wanted: View) {
    view.value = wanted
    paused.value = false
    await Promise.all([subscribe(), load()])
  }

  function onRows(frame: RowsFrame) {
    if (!isLive.value) return
    const fresh = frame.rows.map((values) =>
      Object.fromEntries(frame.cols.map((name, index) => [name, values[index]])) as unknown as Row).reverse()
    if (holding.value) held.value = merged(fresh, held.value)
    else rows.value = merged(fresh, rows.value)
    if (total.value !== null) total.value += frame.seen
    without.value = []
    sampledAt = performance.now()
    sample.value = frame.rule === 'sample' ? { seen: frame.seen, shown: frame.shown } : null
    setTimeout(() => { if (performance.now() - sampledAt >= SAMPLE_SHOWN_MS) sample.value = null }, SAMPLE_SHOWN_MS + 50)
  }

  function takeHeld() {
    rows.value = merged(held.value, rows.value)
    held.value = []
  }
  function hold(on: boolean) {
    holding.value = on
    if (!on && held.value.length) takeHeld()
  }
  async function pause(on: boolean) {
    paused.value = on
    await Promise.all([subscribe(), load(on)]) // paused: the exact rows of the second, from the store
  }

  live.on('rows', onRows)
  live.on('connected', (again: boolean) => {
    void subscribe()
    if (again && state.value !== 'idle') void load(true)
  })
  live.on('visible', () => { if (isLive.value) void load(true) })
  live.on('cleared', () => {
    rows.value = []
    held.value = []
    void load()
  })

  /** The address of a file with exactly these rows. */
  const exportUrl = computed(() => withQuery('/api/v1/export/events.csv', query()))
  return {
    view, rows, held, holding, paused, total, tookMs, without, next, state, problem, sample, polled, isLive, exportUrl,
    rowsMax: ROWS_MAX, show, load, more, hold, takeHeld, pause,
  }
})
