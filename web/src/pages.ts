import { Cable, FileText, HeartPulse, LayoutDashboard, Radar, SlidersHorizontal } from '@lucide/vue'
import type { Component } from 'vue'

/** A page that the rail leads to. */
export interface PageEntry { name: string, path: string, key: string, icon: Component, load: () => Promise<Component> }

/** All of them, in the order of the rail; words are `nav.NAME` of the locale, `g` and the key go there. */
export const PAGES: readonly PageEntry[] = [
  { name: 'overview', path: '/', key: 'o', icon: LayoutDashboard, load: () => import('./pages/OverviewPage.vue') },
  { name: 'scans', path: '/scans', key: 's', icon: Radar, load: () => import('./pages/ScansPage.vue') },
  { name: 'reports', path: '/reports', key: 'p', icon: FileText, load: () => import('./pages/ReportsPage.vue') },
  { name: 'health', path: '/health', key: 'e', icon: HeartPulse, load: () => import('./pages/HealthPage.vue') },
  { name: 'capture', path: '/capture', key: 'c', icon: Cable, load: () => import('./pages/CapturePage.vue') },
  { name: 'settings', path: '/settings', key: ',', icon: SlidersHorizontal, load: () => import('./pages/SettingsPage.vue') },
]
