import { expect, it } from 'vitest'
import { maxSeries, Metrics } from './metrics.ts'

it('writes counters and gauges as Prometheus reads them', () => {
  const metrics = new Metrics()
  const requests = metrics.counter('requests_total', 'Requests answered')
  let peers = 1
  metrics.gauge('peers', 'Peers online', () => peers)
  requests.add(1, { route: 'blob', code: '200' })
  requests.add(2, { route: 'blob', code: '200' })
  requests.add(1, { route: 'a"\\\n', code: '404' })
  peers = 7
  expect(metrics.text()).toBe(
    [
      '# HELP requests_total Requests answered',
      '# TYPE requests_total counter',
      'requests_total{route="blob",code="200"} 3',
      'requests_total{route="a\\"\\\\\\n",code="404"} 1',
      '# HELP peers Peers online',
      '# TYPE peers gauge',
      'peers 7',
      '',
    ].join('\n'),
  )
})

it('keeps a bounded number of label sets, whatever strangers choose', () => {
  const metrics = new Metrics()
  const counter = metrics.counter('x_total', 'x')
  for (let i = 0; i < 1000; i++) counter.add(1, { who: `key ${i}` })
  const lines = metrics.text().split('\n')
  expect(lines.filter((line) => line.startsWith('x_total'))).toHaveLength(maxSeries + 1)
  expect(lines).toContain(`x_total{who="other"} ${1000 - maxSeries}`)
})

it('refuses a name twice, or one that is none', () => {
  const metrics = new Metrics()
  metrics.counter('x', 'x')
  expect(() => metrics.gauge('x', 'x', () => 1)).toThrow(RangeError)
  expect(() => metrics.counter('a b', 'x')).toThrow(RangeError)
})
