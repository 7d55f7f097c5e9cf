import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  plugins: [vue({ template: { transformAssetUrls: false } })],
  define: {
    __VUE_OPTIONS_API__: 'false',
    __VUE_PROD_DEVTOOLS__: 'false',
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false',
  },
  build: {
    outDir: '../src/nsm/serve/static',
    emptyOutDir: true,
    // The policy of the page forbids what the polyfill and inlined files would need.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    target: 'es2022',
    reportCompressedSize: false,
    // What two pages share is one file: few requests count more than a few bytes.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'shared', minShareCount: 2 }] } } },
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8052', '/socket.io': { target: 'http://127.0.0.1:8052', ws: true } } },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
})
