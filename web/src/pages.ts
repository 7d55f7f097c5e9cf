import { FileText, LayoutDashboard, Radar, SlidersHorizontal } from '@lucide/vue'
import type { Component } from 'vue'

/** A page that the rail leads to. */
export interface PageEntry { name: string, path: string, icon: Component, load: () => Promise<Component> }

/** All of them, in the order of the rail; words are `nav.NAME` of the locale. */
export const PAGES: readonly PageEntry[] = [
  { name: 'overview', path: '/', icon: LayoutDashboard, load: () => import('./pages/OverviewPage.vue') },
  { name: 'scans', path: '/scans', icon: Radar, load: () => import('./pages/ScansPage.vue') },
  { name: 'reports', path: '/reports', icon: FileText, load: () => import('./pages/ReportsPage.vue') },
  { name: 'settings', path: '/settings', icon: SlidersHorizontal, load: () => import('./pages/SettingsPage.vue') },
]
