import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import type { View } from '../stores/events'

const DEFAULTS = { q: '', type: 'all', from: '-24h', to: 'now', tz: '', sel: '', iface: '' }
type Name = keyof typeof DEFAULTS

/** The state of the page that its address carries: filter, records, time, zone, panel. */
export function useView() {
  const route = useRoute()
  const router = useRouter()
  const part = (name: Name) => {
    const value = route.query[name]
    return typeof value === 'string' && value ? value : DEFAULTS[name]
  }
  const view = computed<View>(() => ({ q: part('q'), type: part('type'), from: part('from'), to: part('to') }))
  const sel = computed(() => part('sel'))
  const iface = computed(() => part('iface'))
  const zone = computed(() => {
    const name = part('tz')
    try {
      return name ? new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone : undefined
    } catch {
      return undefined // a zone that this browser does not know
    }
  })

  /** Change parts of the address; Back undoes it. What has its default is left out. */
  function go(change: Partial<Record<Name, string>>, replace = false) {
    const query: Record<string, string> = {}
    for (const name of Object.keys(DEFAULTS) as Name[]) {
      const value = change[name] ?? part(name)
      if (value !== DEFAULTS[name]) query[name] = value
    }
    return replace ? router.replace({ query }) : router.push({ query })
  }
  return { view, sel, iface, zone, go }
}
