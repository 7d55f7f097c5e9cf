import { computed, onScopeDispose, ref, watch, type Ref } from 'vue'

const MARGIN = 8 // rows drawn beyond both edges

/** Which rows of a long list are to be drawn: those in sight and a few more; all rows are equally high. */
export function useWindow(box: Ref<HTMLElement | null>, count: () => number, rowHeight: () => number) {
  const top = ref(0)
  const height = ref(600)
  const first = computed(() => Math.max(0, Math.floor(top.value / rowHeight()) - MARGIN))
  const last = computed(() => Math.min(count(), Math.ceil((top.value + height.value) / rowHeight()) + MARGIN))
  const before = computed(() => first.value * rowHeight())
  const after = computed(() => Math.max(0, count() - last.value) * rowHeight())
  const onScroll = () => { top.value = box.value?.scrollTop ?? 0 }
  const observer = new ResizeObserver(([entry]) => { if (entry) height.value = entry.contentRect.height })
  watch(box, (element, old) => {
    old?.removeEventListener('scroll', onScroll)
    observer.disconnect()
    element?.addEventListener('scroll', onScroll, { passive: true })
    if (element) observer.observe(element)
  })
  onScopeDispose(() => observer.disconnect())
  return { first, last, before, after, top }
}
