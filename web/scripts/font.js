// Cuts the interface font down to the characters and weights that the page uses: 48 KB become less than 20.
// `charts.ttf` is for pictures that the server draws (nsm plot -o x.png): one weight, in the form that its renderer reads.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import subset from 'subset-font'

const require = createRequire(import.meta.url)
const source = require.resolve('@fontsource-variable/inter/files/inter-latin-wght-normal.woff2')
const licence = require.resolve('@fontsource-variable/inter/LICENSE')
const target = new URL('../src/assets/', import.meta.url)

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => String.fromCodePoint(from + i)).join('')
const text = range(0x20, 0x7e) + '\u00a0°±µ·×–—‘’“”•…←↑→↓−≤≥'

await mkdir(target, { recursive: true })
const font = await subset(await readFile(source), text, {
  targetFormat: 'woff2',
  variationAxes: { wght: { min: 400, max: 650 } },
  keepFeatures: ['kern', 'tnum'],
})
await writeFile(new URL('inter.woff2', target), font)
const still = await subset(await readFile(source), text, { targetFormat: 'truetype', variationAxes: { wght: 400 } })
await writeFile(new URL('../public/charts.ttf', import.meta.url), still)
await writeFile(new URL('../public/font-licence.txt', import.meta.url), await readFile(licence))
console.log(`inter.woff2 ${(font.length / 1024).toFixed(1)} KB`)
