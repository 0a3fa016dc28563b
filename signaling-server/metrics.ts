/**
 * Counters and gauges as Prometheus reads them (text format 0.0.4). Labels are bounded: what a stranger can choose must not
 * grow the server's memory.
 */

type Labels = Readonly<Record<string, string>>

export interface Counter {
  /** @param by not negative */
  add(by?: number, labels?: Labels): void
}

/** Label sets of one counter; further ones are counted together, under the label value `other`. */
export const maxSeries = 64
const maxLabelChars = 64
const namePattern = /^[a-z][a-z0-9_]*$/

interface Family {
  readonly type: 'counter' | 'gauge'
  readonly help: string
  /** Written labels, e.g. `{code="404"}`, and the value. */
  readonly series: () => Iterable<readonly [string, number]>
}

export class Metrics {
  readonly #families = new Map<string, Family>()

  counter(name: string, help: string): Counter {
    const values = new Map<string, number>()
    this.#register(name, { type: 'counter', help, series: () => values })
    return {
      add(by = 1, labels = {}) {
        let key = write(labels)
        if (!values.has(key) && values.size >= maxSeries)
          key = write(Object.fromEntries(Object.keys(labels).map((label) => [label, 'other'])))
        values.set(key, (values.get(key) ?? 0) + by)
      },
    }
  }

  /** Read whenever the metrics are. */
  gauge(name: string, help: string, read: () => number): void {
    this.#register(name, { type: 'gauge', help, series: () => [['', read()]] })
  }

  /** A counter that someone else keeps; it never falls. */
  total(name: string, help: string, read: () => number): void {
    this.#register(name, { type: 'counter', help, series: () => [['', read()]] })
  }

  text(): string {
    let out = ''
    for (const [name, { type, help, series }] of this.#families) {
      out += `# HELP ${name} ${help.replace(/[\\\n]/g, ' ')}\n# TYPE ${name} ${type}\n`
      for (const [labels, value] of series()) out += `${name}${labels} ${value}\n`
    }
    return out
  }

  #register(name: string, family: Family): void {
    if (!namePattern.test(name) || this.#families.has(name)) throw new RangeError(`'${name}' is no metric's name, or is taken`)
    this.#families.set(name, family)
  }
}

function write(labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => {
    if (!namePattern.test(label)) throw new RangeError(`'${label}' is no label's name`)
    const escaped = value.slice(0, maxLabelChars).replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))
    return `${label}="${escaped}"`
  })
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}
