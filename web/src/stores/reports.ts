import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'
import { get, patch, post, problemOf, remove } from '../api/client'
import type { Job, NewReport, Problem, Report, Schedule } from '../api/types'
import { useLive } from './live'

/** Reports, those that are being made, and schedules. */
export const useReports = defineStore('reports', () => {
  const live = useLive()
  const items = shallowRef<Report[]>([])
  const running = shallowRef<Job[]>([])
  const schedules = shallowRef<Schedule[]>([])
  const lastFailure = ref('')
  const state = ref<'loading' | 'ready' | 'failed'>('loading')
  const problem = shallowRef<Problem | null>(null)

  async function load() {
    try {
      const [reports, jobs, planned] = await Promise.all([
        get<{ items: Report[] }>('/api/v1/reports'),
        get<{ running: Job[], items: Job[] }>('/api/v1/jobs', { kind: 'report', limit: 1 }),
        get<{ items: Schedule[] }>('/api/v1/schedules'),
      ])
      items.value = reports.items
      running.value = jobs.running
      schedules.value = planned.items.filter((one) => one.kind === 'report')
      lastFailure.value = jobs.items[0]?.state === 'failed' ? jobs.items[0].text ?? '' : ''
      state.value = 'ready'
      problem.value = null
    } catch (error) {
      problem.value = problemOf(error)
      state.value = 'failed'
    }
  }

  function heard(job: Job) {
    if (job.kind !== 'report') return
    const others = running.value.filter((one) => one.id !== job.id)
    const isOpen = job.state === 'running' || job.state === 'waiting'
    running.value = isOpen ? [...others, job].sort((a, b) => a.id - b.id) : others
    if (!isOpen) void load()
  }
  live.on('job', heard)
  live.on('connected', () => { if (state.value === 'ready') void load() })

  async function make(report: NewReport) {
    await post('/api/v1/reports', report)
    await load()
  }
  async function plan(name: string, trigger: string, report: NewReport) {
    await post('/api/v1/schedules', { kind: 'report', name, trigger, task: { ...report, name } })
    await load()
  }
  const cancel = (id: number) => post(`/api/v1/jobs/${id}/cancel`)
  async function discard(id: string) {
    await remove(`/api/v1/reports/${encodeURIComponent(id)}`)
    await load()
  }
  async function toggle(id: number, enabled: boolean) {
    await patch(`/api/v1/schedules/${id}`, { enabled })
    await load()
  }
  async function unplan(id: number) {
    await remove(`/api/v1/schedules/${id}`)
    await load()
  }
  return { items, running, schedules, lastFailure, state, problem, load, make, plan, cancel, discard, toggle, unplan }
})

/** Where a file of a report is; `keep`: to be saved, not looked at. */
export const reportFile = (id: string, ending: string, keep = false) =>
  `/api/v1/reports/${encodeURIComponent(id)}/${ending}${keep ? '?download=true' : ''}`
