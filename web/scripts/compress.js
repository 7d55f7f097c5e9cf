// Writes a .gz and a .br beside every text file of the built page: the server never compresses.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const folder = new URL('../../src/nsm/serve/static/', import.meta.url)
const names = await readdir(folder, { recursive: true })
let total = 0
for (const name of names.filter((name) => /\.(html|js|css|svg|txt)$/.test(name))) {
  const path = new URL(name, folder)
  const content = await readFile(path)
  const packed = gzipSync(content, { level: 9 })
  await writeFile(`${path.pathname}.gz`, packed)
  await writeFile(
    `${path.pathname}.br`,
    brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
  )
  if (/\.(js|css)$/.test(name)) total += packed.length
}
console.log(`JavaScript and CSS of all routes: ${(total / 1024).toFixed(1)} KB gzip`)
