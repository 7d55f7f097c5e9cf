import { t } from '../locales'
import type { Problem } from './types'

/** An answer that is no success: the server's problem document, or what stands in for it. */
export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.title)
  }
}

/** True for an error that means: log in first. */
export const needsLogin = (error: unknown) => error instanceof ApiError && error.problem.status === 401

/** The problem behind any error. */
export const problemOf = (error: unknown): Problem =>
  error instanceof ApiError ? error.problem : offline()

const offline = (): Problem => ({
  type: 'offline', title: t('error.offline'), status: 0, detail: '', where: location.host, fix: [], request_id: '',
})

let csrf = '' // of the session; sent with every write

/** Remember the CSRF token of the session. */
export function setCsrf(token: string) {
  csrf = token
}

async function send<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' }
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  if (method !== 'GET') headers['X-CSRF-Token'] = csrf
  let response: Response
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? null : JSON.stringify(body), signal: signal ?? null })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiError(offline())
  }
  if (response.ok) return await response.json() as T
  const problem = await response.json().catch(offline) as Problem
  throw new ApiError({ ...problem, status: response.status })
}

export const get = <T>(path: string, query: Record<string, string | number | undefined> = {}, signal?: AbortSignal) =>
  send<T>('GET', withQuery(path, query), undefined, signal)
export const post = <T>(path: string, body: unknown = {}) => send<T>('POST', path, body)
export const put = <T>(path: string, body: unknown) => send<T>('PUT', path, body)
export const patch = <T>(path: string, body: unknown) => send<T>('PATCH', path, body)
export const remove = <T>(path: string) => send<T>('DELETE', path)

/** Send a file as it is, telling how much of it has gone; `signal` ends it. */
export function upload<T>(path: string, file: File, told: (sent: number) => void, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest() // fetch does not tell how far it is
    request.open('POST', path)
    request.setRequestHeader('Accept', 'application/json')
    request.setRequestHeader('X-CSRF-Token', csrf)
    request.setRequestHeader('Content-Type', 'application/octet-stream')
    request.responseType = 'json'
    request.upload.onprogress = (event) => told(event.loaded)
    request.onload = () => {
      if (request.status < 300) resolve(request.response as T)
      else reject(new ApiError({ ...(request.response as Problem | null ?? offline()), status: request.status }))
    }
    request.onerror = () => reject(new ApiError(offline()))
    request.onabort = () => reject(new DOMException('', 'AbortError'))
    signal.addEventListener('abort', () => request.abort())
    request.send(file)
  })
}

/** The path with the parts of the query that are not empty. */
export function withQuery(path: string, query: Record<string, string | number | undefined>): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== '') search.set(name, String(value))
  const text = search.toString()
  return text ? `${path}?${text}` : path
}
