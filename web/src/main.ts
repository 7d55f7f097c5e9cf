import { createPinia } from 'pinia'
import { createApp } from 'vue'
import App from './App.vue'
import { router } from './router'
import './styles/tokens.css'
import './styles/base.css'
import './styles/cards.css'
import './styles/log.css'
import './styles/pages.css'

createApp(App).use(createPinia()).use(router).mount('#app')
