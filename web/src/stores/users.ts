import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'
import { get, post, problemOf, remove, patch } from '../api/client'
import type { Problem, Role, Token, User } from '../api/types'

/** Users and tokens: the only place in the page that changes them. */
export const useUsers = defineStore('users', () => {
  const users = shallowRef<User[]>([])
  const tokens = shallowRef<Token[]>([])
  const state = ref<'loading' | 'ready' | 'failed'>('loading')
  const problem = shallowRef<Problem | null>(null)

  async function load(all: boolean) {
    try {
      const [people, open] = await Promise.all([
        all ? get<{ items: User[] }>('/api/v1/users') : { items: [] }, get<{ items: Token[] }>('/api/v1/tokens'),
      ])
      users.value = people.items
      tokens.value = open.items
      state.value = 'ready'
      problem.value = null
    } catch (error) {
      problem.value = problemOf(error)
      state.value = 'failed'
    }
  }
  const path = (name: string) => `/api/v1/users/${encodeURIComponent(name)}`
  const add = async (name: string, role: Role) => (await post<{ link: string | null }>('/api/v1/users', { name, role })).link
  const setRole = (name: string, role: Role) => patch(path(name), { role })
  const drop = (name: string) => remove(path(name))
  const link = async (name: string) => (await post<{ link: string }>(`${path(name)}/link`)).link
  const addToken = async (label: string, scope: Role, days: number) =>
    (await post<{ token: string }>('/api/v1/tokens', { label, scope, days })).token
  const endToken = (id: number) => remove(`/api/v1/tokens/${id}`)
  return { users, tokens, state, problem, load, add, setRole, drop, link, addToken, endToken }
})
