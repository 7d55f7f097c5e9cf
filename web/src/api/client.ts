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

/** The path with the parts of the query that are not empty. */
export function withQuery(path: string, query: Record<string, string | number | undefined>): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== '') search.set(name, String(value))
  const text = search.toString()
  return text ? `${path}?${text}` : path
}
