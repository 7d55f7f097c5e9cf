import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'
import { get, patch, post, problemOf, remove } from '../api/client'
import type { Job, NewScan, Problem, Scan, ScanSummary, Schedule } from '../api/types'
import { useLive } from './live'

/** Scans, those that run, and schedules. */
export const useScans = defineStore('scans', () => {
  const live = useLive()
  const items = shallowRef<ScanSummary[]>([])
  const running = shallowRef<Job[]>([])
  const schedules = shallowRef<Schedule[]>([])
  const lastFailure = ref('')
  const state = ref<'loading' | 'ready' | 'failed'>('loading')
  const problem = shallowRef<Problem | null>(null)

  async function load() {
    try {
      const [scans, jobs, planned] = await Promise.all([
        get<{ items: ScanSummary[] }>('/api/v1/scans'),
        get<{ running: Job[], items: Job[] }>('/api/v1/jobs', { kind: 'scan', limit: 1 }),
        get<{ items: Schedule[] }>('/api/v1/schedules'),
      ])
      items.value = scans.items
      running.value = jobs.running
      schedules.value = planned.items.filter((one) => one.kind === 'scan')
      lastFailure.value = jobs.items[0]?.state === 'failed' ? jobs.items[0].text ?? '' : ''
      state.value = 'ready'
      problem.value = null
    } catch (error) {
      problem.value = problemOf(error)
      state.value = 'failed'
    }
  }

  function heard(job: Job) {
    if (job.kind !== 'scan') return
    const others = running.value.filter((one) => one.id !== job.id)
    const isOpen = job.state === 'running' || job.state === 'waiting'
    running.value = isOpen ? [...others, job].sort((a, b) => a.id - b.id) : others
    if (!isOpen) void load()
  }
  live.on('job', heard)
  live.on('connected', () => { if (state.value === 'ready') void load() })

  async function start(scan: NewScan) {
    await post('/api/v1/scans', scan)
    await load()
  }
  async function plan(name: string, trigger: string, scan: NewScan) {
    await post('/api/v1/schedules', { kind: 'scan', name, trigger, task: scan })
    await load()
  }
  const cancel = (id: number) => post(`/api/v1/jobs/${id}/cancel`)
  async function toggle(id: number, enabled: boolean) {
    await patch(`/api/v1/schedules/${id}`, { enabled })
    await load()
  }
  async function unplan(id: number) {
    await remove(`/api/v1/schedules/${id}`)
    await load()
  }
  const one = (id: string) => get<Scan>(`/api/v1/scans/${encodeURIComponent(id)}`)
  return { items, running, schedules, lastFailure, state, problem, load, start, plan, cancel, toggle, unplan, one }
})
