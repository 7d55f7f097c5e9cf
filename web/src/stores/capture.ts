import { defineStore } from 'pinia'
import { computed, ref, shallowRef } from 'vue'
import { post, problemOf } from '../api/client'
import type { Capture, CaptureOptions, Problem } from '../api/types'
import { useLive } from './live'

/** The capture and what may be done with it. */
export const useCapture = defineStore('capture', () => {
  const live = useLive()
  const busy = ref(false)
  const refused = shallowRef<Problem | null>(null)
  const state = computed(() => live.capture.state)
  const watching = computed(() => state.value === 'running' || state.value === 'demo')
  const selected = computed(() => live.capture.interfaces.filter((item) => item.selected).map((item) => item.name))

  /** What went wrong, from the last order or from the service itself. */
  const error = computed<Problem | null>(() => {
    if (refused.value) return refused.value
    const told = live.capture.error
    if (!told || state.value !== 'failed') return null
    const fix = typeof told.fix === 'string' ? [{ text: told.fix, cmd: '' }] : told.fix ?? []
    return { type: 'capture', title: told.title, status: 0, detail: told.detail, where: told.where, fix, request_id: '' }
  })

  async function order(path: string, body: object) {
    busy.value = true
    refused.value = null
    try {
      live.capture = await post<Capture>(path, body)
    } catch (problem) {
      refused.value = problemOf(problem)
    } finally {
      busy.value = false
    }
  }
  const start = (iface: string | null = null, options: CaptureOptions = {}) => order('/api/v1/capture:start', { iface, ...options })
  const stop = () => order('/api/v1/capture:stop', {})
  return { state, watching, selected, busy, error, start, stop }
})
