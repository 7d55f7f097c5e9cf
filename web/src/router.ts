import { createRouter, createWebHistory } from 'vue-router'
import { PAGES } from './pages'
import { useLogin } from './stores/login'

void PAGES.find((page) => page.path === location.pathname)?.load() // at once, while the session is still being looked up

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    ...PAGES.map(({ name, path, load }) => ({ name, path, component: load })),
    { path: '/login', name: 'login', component: () => import('./pages/LoginPage.vue'), meta: { bare: true } },
    { path: '/:rest(.*)*', redirect: '/' },
  ],
})

router.beforeEach(async (to) => {
  const login = useLogin()
  if (to.name === 'login' || login.me) return true
  const known = await login.load().catch(() => false)
  return known || { name: 'login', query: to.fullPath === '/' ? {} : { next: to.fullPath } }
})
