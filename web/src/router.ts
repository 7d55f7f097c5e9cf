import { createRouter, createWebHistory } from 'vue-router'
import { useLogin } from './stores/login'

const overview = () => import('./pages/OverviewPage.vue')
if (location.pathname === '/') void overview() // at once, while the session is still being looked up

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', name: 'overview', component: overview },
    { path: '/login', name: 'login', component: () => import('./pages/LoginPage.vue') },
    { path: '/:rest(.*)*', redirect: '/' },
  ],
})

router.beforeEach(async (to) => {
  const login = useLogin()
  if (to.name === 'login' || login.me) return true
  const known = await login.load().catch(() => false)
  return known || { name: 'login', query: to.fullPath === '/' ? {} : { next: to.fullPath } }
})
