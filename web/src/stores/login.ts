import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { get, post, setCsrf } from '../api/client'
import type { Me } from '../api/types'

/** Who is logged in. */
export const useLogin = defineStore('login', () => {
  const me = ref<Me | null>(null)
  const ended = ref(false)
  const isAdmin = computed(() => me.value?.role === 'admin')

  function take(found: Me) {
    setCsrf(found.csrf)
    me.value = found
    ended.value = false
    return found
  }

  /** True when the browser has a session. */
  async function load() {
    const found = await get<Me & { name: string | null }>('/api/v1/me')
    if (found.name) take(found)
    return Boolean(found.name)
  }
  const logIn = async (name: string, password: string) => take(await post<Me>('/api/v1/login', { name, password }))
  const linkName = async (token: string) => (await post<{ name: string }>('/api/v1/link', { token })).name
  const takeLink = async (token: string, password: string) => take(await post<Me>('/api/v1/link', { token, password }))

  /** Forget the session here; the server has ended it, or does. */
  function forget() {
    ended.value = me.value !== null
    me.value = null
    setCsrf('')
  }
  async function logOut() {
    await post('/api/v1/logout')
    forget()
  }
  return { me, isAdmin, ended, load, logIn, linkName, takeLink, logOut, forget }
})
