/**
 * The script of the page: replaces changed sections by server-sent events, updates times and bars, and filters while the
 * user types. Without JavaScript the page shows the state at its loading.
 */
export const SCRIPT = `'use strict'
const announce = document.getElementById('announce')
const live = document.getElementById('live')
const waiting = new Map()
let source = null
let said = ''

function open() {
  if (source) source.close()
  source = new EventSource('/events' + location.search)
  source.addEventListener('section', (event) => {
    const { id, version, html } = JSON.parse(event.data)
    waiting.set(id, { version, html })
    put()
  })
  source.addEventListener('told', (event) => {
    const text = JSON.parse(event.data)
    if (said !== '' && text !== said) announce.textContent = text
    said = text
    document.title = text + ' - icp-agent'
  })
  source.addEventListener('open', () => state('live', 'Live'))
  source.addEventListener('error', () => state('lost', 'Not connected: the status command has ended, or another browser has the page'))
}

function state(name, text) {
  if (live.dataset.state === name) return
  live.dataset.state = name
  live.textContent = text
  if (name === 'lost') announce.textContent = text
}

// A section with selected text is not replaced until the selection ends.
function put() {
  const selection = getSelection()
  for (const [id, { version, html }] of waiting) {
    const section = document.querySelector('[data-section="' + id + '"]')
    if (!section || section.dataset.version === version) {
      waiting.delete(id)
      continue
    }
    if (selection && !selection.isCollapsed && section.contains(selection.anchorNode)) continue
    waiting.delete(id)
    const focused = section.contains(document.activeElement) ? keyOf(document.activeElement) : null
    const opened = [...section.querySelectorAll('details[open]')].map((one) => one.id)
    section.innerHTML = html
    section.dataset.version = version
    for (const one of opened) document.getElementById(one)?.setAttribute('open', '')
    if (focused) (document.getElementById(focused.id) || section.querySelector(focused.selector))?.focus({ preventScroll: true })
    const count = section.querySelector('[data-count]')
    if (section.dataset.asked && count) announce.textContent = count.textContent
    delete section.dataset.asked
  }
  tick()
}

function keyOf(element) {
  if (element.id) return { id: element.id, selector: '[data-none]' }
  const details = element.closest('details[id]')
  if (details) return { id: '', selector: '#' + CSS.escape(details.id) + ' > summary' }
  const href = element.getAttribute('href')
  return href ? { id: '', selector: 'a[href="' + CSS.escape(href) + '"]' } : null
}

const UNITS = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]]
function span(ms) {
  let seconds = Math.max(0, Math.floor(ms / 1000))
  const parts = []
  for (const [unit, size] of UNITS) {
    const count = Math.floor(seconds / size)
    seconds -= count * size
    if (count > 0) parts.push(count + ' ' + unit)
    else if (parts.length > 0) break
    if (parts.length === 2) break
  }
  return parts.join(' ') || '0 s'
}

function tick() {
  const now = Date.now()
  for (const time of document.querySelectorAll('time[datetime]')) {
    const at = Date.parse(time.dateTime)
    const text = at > now ? 'in ' + span(at - now) : now - at < 1000 ? 'now' : span(now - at) + ' ago'
    if (time.textContent !== text) time.textContent = text
  }
  for (const bar of document.querySelectorAll('svg[data-from]')) {
    const [from, to] = [Date.parse(bar.dataset.from), Date.parse(bar.dataset.to)]
    const left = Math.max(0, Math.min(100, ((to - now) / Math.max(1, to - from)) * 100))
    const fill = bar.querySelector('.fill')
    fill.setAttribute('width', left.toFixed(1))
    fill.setAttribute('class', 'fill ' + (left <= 0 ? 'bad' : left < 20 ? 'warn' : 'good'))
  }
}

function go(address, section) {
  history.replaceState(null, '', address)
  const shown = document.querySelector('[data-section="' + section + '"]')
  if (shown) shown.dataset.asked = '1'
  open()
}

function filtered(form) {
  const query = new URLSearchParams(location.search)
  const name = form.querySelector('input').name
  for (const field of form.querySelectorAll('input, select')) {
    if (field.value.trim() === '') query.delete(field.name)
    else query.set(field.name, field.value.trim())
  }
  query.delete(name + '.page')
  go('/?' + query + location.hash, name)
}

let typing = 0
document.addEventListener('input', (event) => {
  const form = event.target.closest('form.filter')
  if (!form) return
  clearTimeout(typing)
  typing = setTimeout(() => filtered(form), 250)
})
document.addEventListener('submit', (event) => {
  const form = event.target.closest('form.filter')
  if (!form) return
  event.preventDefault()
  filtered(form)
})
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-view]')
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  const url = new URL(link.href)
  go('/' + url.search, url.hash.slice(1))
})
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return
  if (event.target.closest('input, select, textarea')) return
  const first = document.querySelector('form.filter input')
  if (!first) return
  event.preventDefault()
  first.focus()
})

document.documentElement.classList.add('scripted')
setInterval(put, 1000)
if (live) open()
`
