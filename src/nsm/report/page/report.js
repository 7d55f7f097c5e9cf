'use strict'
// Reads out charts, switches series on and off, sorts tables. The page says all without it.
const data = JSON.parse(document.getElementById('chart-data').textContent)
for (const figure of document.querySelectorAll('figure[data-chart]')) {
  const chart = data[figure.dataset.chart]
  const svg = figure.querySelector('svg')
  const said = figure.querySelector('output')
  if (!chart || !svg || !said) continue
  const show = (event) => {
    const box = svg.getBoundingClientRect()
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width
    const left = Number(svg.dataset.left)
    const width = svg.viewBox.baseVal.width - left - Number(svg.dataset.right)
    const at = Math.floor(((x - left) / width) * chart.labels.length)
    if (at < 0 || at >= chart.labels.length) return
    said.textContent = chart.labels[at] + ': ' + chart.series
      .filter((one) => one.values[at] !== '').map((one) => one.name + ' ' + one.values[at]).join(', ')
  }
  svg.addEventListener('pointermove', show)
  svg.addEventListener('pointerleave', () => { said.textContent = '' })
  for (const item of figure.querySelectorAll('.legend li')) {
    const group = svg.querySelector('g[data-series="' + item.dataset.series + '"]')
    if (!group) continue
    const button = document.createElement('button')
    button.type = 'button'
    button.setAttribute('aria-pressed', 'true')
    button.append(...item.childNodes)
    button.addEventListener('click', () => {
      const hidden = group.getAttribute('visibility') === 'hidden'
      group.setAttribute('visibility', hidden ? 'visible' : 'hidden')
      button.setAttribute('aria-pressed', String(hidden))
    })
    item.append(button)
  }
}
for (const table of document.querySelectorAll('table[data-sort]')) {
  const body = table.tBodies[0]
  const heads = [...table.tHead.rows[0].cells]
  heads.forEach((head, at) => {
    const button = document.createElement('button')
    button.type = 'button'
    button.append(...head.childNodes)
    head.append(button)
    button.addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') === 'descending'
      for (const other of heads) other.removeAttribute('aria-sort')
      head.setAttribute('aria-sort', down ? 'ascending' : 'descending')
      const value = (row) => row.cells[at].dataset.v ?? row.cells[at].textContent
      const rows = [...body.rows].sort((one, two) => {
        const [a, b] = [value(one), value(two)]
        const order = a !== '' && b !== '' && !Number.isNaN(Number(a)) && !Number.isNaN(Number(b)) ? Number(a) - Number(b) : String(a).localeCompare(String(b))
        return down ? order : -order
      })
      body.append(...rows)
    })
  })
}
