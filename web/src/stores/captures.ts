import { defineStore } from 'pinia'
import { computed, ref, shallowRef } from 'vue'
import { get, post, problemOf, remove, upload, withQuery } from '../api/client'
import type { AnalysedCapture, CaptureList, Job, NewRecording, Problem } from '../api/types'
import { useLive } from './live'

const KINDS = ['record', 'read']

/** Captures that are kept, and the jobs that make and read them. */
export const useCaptures = defineStore('captures', () => {
  const live = useLive()
  const list = shallowRef<CaptureList | null>(null)
  const items = computed(() => list.value?.items ?? [])
  const running = shallowRef<Job[]>([])
  const lastFailure = ref('')
  const state = ref<'loading' | 'ready' | 'failed'>('loading')
  const problem = shallowRef<Problem | null>(null)

  async function load() {
    try {
      const [kept, jobs] = await Promise.all([
        get<CaptureList>('/api/v1/captures'),
        get<{ running: Job[], items: Job[] }>('/api/v1/jobs', { limit: 20 }),
      ])
      list.value = kept
      running.value = jobs.running.filter((job) => KINDS.includes(job.kind))
      const last = jobs.items.find((job) => KINDS.includes(job.kind))
      lastFailure.value = last?.state === 'failed' ? last.text ?? '' : ''
      state.value = 'ready'
      problem.value = null
    } catch (error) {
      problem.value = problemOf(error)
      state.value = 'failed'
    }
  }

  function heard(job: Job) {
    if (!KINDS.includes(job.kind)) return
    const others = running.value.filter((one) => one.id !== job.id)
    const isOpen = job.state === 'running' || job.state === 'waiting'
    running.value = isOpen ? [...others, job].sort((a, b) => a.id - b.id) : others
    if (!isOpen) void load()
  }
  live.on('job', heard)
  live.on('connected', () => { if (state.value !== 'loading') void load() })

  async function record(recording: NewRecording) {
    await post('/api/v1/captures:record', recording)
    await load()
  }
  async function send(file: File, told: (sent: number) => void, signal: AbortSignal) {
    await upload(withQuery('/api/v1/captures:upload', { name: file.name.slice(-200) }), file, told, signal)
    await load()
  }
  async function analyse(id: string) {
    await post(`${captureAt(id)}/analyse`)
    await load()
  }
  async function discard(id: string) {
    await remove(captureAt(id))
    await load()
  }
  const cancel = (id: number) => post(`/api/v1/jobs/${id}/cancel`)
  const one = (id: string) => get<AnalysedCapture>(captureAt(id))
  return { list, items, running, lastFailure, state, problem, load, record, send, analyse, discard, cancel, one }
})

/** The address of a capture; its file, events and report are below. */
export const captureAt = (id: string) => `/api/v1/captures/${encodeURIComponent(id)}`
