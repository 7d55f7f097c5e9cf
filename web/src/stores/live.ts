import { defineStore } from 'pinia'
import { computed, ref, shallowRef } from 'vue'
import type { Capture, Columns, Gap, Latest, RowsFrame, Snapshot, Tick, Value } from '../api/types'
import { openSocket, type Socket } from '../live/socket'
import { useLogin } from './login'

const SECONDS_MAX = 900 // as the server keeps: 15 minutes
const DELAYED_S = 3
const STALE_S = 5
const HIDDEN_STALE_S = 15 // a hidden tab gets a tick every 5 s
const EMPTY: Latest = {
  drops: {}, top: [], protocols: [], score: { score: null, reason: '', deductions: [] },
  threats: { by_kind: {}, by_severity: {} }, inbox: { rev: 0 }, packets_total: null,
}

/** The seconds that charts draw; replaced with every tick, never changed in place. */
export interface Series { ts: number[], cols: Value[][], names: string[] }

type Handlers = { [event: string]: ((data: never) => void)[] }

/** What the server says live. The only code that listens to the socket; other stores hand in what they want. */
export const useLive = defineStore('live', () => {
  const ready = ref(false) // a snapshot has come
  const latest = shallowRef<Latest>(EMPTY)
  const series = shallowRef<Series>({ ts: [], cols: [], names: [] })
  const capture = shallowRef<Capture>({ state: 'stopped', interfaces: [], error: null, since: null, demo: false })
  const gaps = shallowRef<Gap[]>([])
  const lastTs = ref(0)
  const silent = ref(false)
  const slow = ref(false)
  const age = ref(0)
  const tries = ref(0)
  const rev = ref(0) // of the list of alerts
  const connection = computed(() => {
    if (!ready.value) return 'connecting'
    const stale = document.hidden ? HIDDEN_STALE_S : STALE_S
    return age.value > stale ? 'stale' : age.value > DELAYED_S && !document.hidden ? 'delayed' : 'live'
  })

  let socket: Socket | null = null
  let boot = ''
  let seq = 0
  let tickAt = performance.now()
  let timer = 0
  const handlers: Handlers = {}

  const values = computed<Record<string, Value>>(() => {
    const { names, cols } = series.value
    return Object.fromEntries(names.map((name, index) => [name, cols[index]?.at(-1) ?? null]))
  })
  /** Packets dropped in the last minute. */
  const dropped = computed(() => {
    const { names, cols } = series.value
    return ['drops_kernel', 'drops_queue'].reduce((sum, name) =>
      sum + (cols[names.indexOf(name)] ?? []).slice(-60).reduce<number>((part, value) => part + (value ?? 0), 0), 0)
  })

  function on<T>(event: string, handler: (data: T) => void) {
    (handlers[event] ??= []).push(handler as (data: never) => void)
  }
  const tell = (event: string, data: unknown) => handlers[event]?.forEach((handler) => handler(data as never))

  function arrived(ts: number, numbers: Latest) {
    tickAt = performance.now()
    age.value = 0
    tries.value = 0
    lastTs.value = ts
    latest.value = numbers
    rev.value = numbers.inbox.rev
  }

  function onSnapshot(data: Snapshot) {
    const again = boot !== '' // a new life of the server, or a gap too large to fill
    boot = data.boot
    seq = data.seq
    series.value = { ts: data.series.ts, cols: data.series.cols, names: data.series.names }
    capture.value = data.capture
    gaps.value = data.gaps
    ready.value = true
    arrived(data.series.ts.at(-1) ?? data.now, data)
    tell('connected', again)
  }

  function append(data: Columns) {
    const { ts, cols, names } = series.value
    const from = data.ts.findIndex((_, index) => data.from + index > seq)
    if (from < 0) return
    seq = data.to
    series.value = {
      names,
      ts: [...ts, ...data.ts.slice(from)].slice(-SECONDS_MAX),
      cols: names.map((_, i) => [...(cols[i] ?? []), ...(data.cols[i] ?? []).slice(from)].slice(-SECONDS_MAX)),
    }
  }

  async function onTick(tick: Tick) {
    socket?.emit('ack', tick.seq)
    if (tick.boot !== boot || tick.seq <= seq) return
    if (tick.seq > seq + 1) {
      const missed = await socket?.emitWithAck('backfill', seq).catch(() => null) as Columns | null
      if (missed) append(missed)
    }
    append({ from: tick.seq, to: tick.seq, ts: [tick.ts], cols: tick.v.map((value) => [value]) })
    silent.value = tick.silent
    slow.value = tick.slow
    arrived(tick.silent ? lastTs.value : tick.ts, tick)
  }

  function open() {
    if (socket) return
    const login = useLogin()
    socket = openSocket(() => ({ proto: 2, csrf: login.me?.csrf ?? '', boot, seq, want: ['stats', 'alerts'] }))
    socket.on('snapshot', onSnapshot)
    socket.on('backfill', (data: Columns) => {
      append(data)
      tell('connected', true)
    })
    socket.on('tick', onTick)
    socket.on('capture', (data: Capture) => { capture.value = data })
    socket.on('gaps', (data: Gap[]) => { gaps.value = data })
    socket.on('new_log', (data: RowsFrame) => tell('rows', data))
    socket.on('alert', (data) => tell('alert', data))
    socket.on('job', (data) => tell('job', data))
    socket.on('cleared', () => tell('cleared', null))
    socket.on('logout', () => tell('logout', null))
    socket.on('connect_error', (error: Error & { data?: { status?: number } }) => {
      if (error.data?.status === 401 || error.data?.status === 403) tell('logout', null)
      else if (!socket?.active) setTimeout(() => socket?.connect(), 5000)
    })
    socket.on('disconnect', (reason) => {
      // Closed by the server, for being too slow: the library does not try again by itself.
      if (reason === 'io server disconnect') setTimeout(() => socket?.connect(), 1000)
    })
    socket.io.on('reconnect_attempt', (count: number) => { tries.value = count })
    document.addEventListener('visibilitychange', onVisible)
    window.addEventListener('online', reconnect)
    timer = window.setInterval(() => { age.value = (performance.now() - tickAt) / 1000 }, 500)
  }

  const reconnect = () => {
    if (socket && !socket.connected) socket.disconnect().connect()
  }
  const onVisible = () => {
    socket?.emit('hidden', document.hidden)
    if (!document.hidden) tell('visible', null)
  }

  function close() {
    clearInterval(timer)
    document.removeEventListener('visibilitychange', onVisible)
    window.removeEventListener('online', reconnect)
    socket?.disconnect()
    socket = null
    ready.value = false
    boot = ''
    seq = 0
  }

  /** Ask the server; undefined when it does not answer in time. */
  async function ask<T>(event: string, data: unknown): Promise<T | undefined> {
    try {
      return await socket?.timeout(5000).emitWithAck(event, data) as T
    } catch {
      return undefined
    }
  }

  return {
    ready, latest, series, capture, gaps, lastTs, silent, slow, age, tries, rev, connection, values, dropped,
    on, open, close, ask,
  }
})
