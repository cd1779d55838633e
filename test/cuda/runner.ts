/**
 * Vitest's names for a program that runs where vitest is not: files of tests are bundled with this in its place.
 *
 *     const failed = await runAll()          registered by describe and test meanwhile; each is printed as it ends
 */
import { JestChaiExpect, JestExtend } from "@vitest/expect"
import * as chai from "chai"

chai.use(JestExtend)
chai.use(JestChaiExpect)
export const expect = (value: unknown, message?: string): unknown => chai.expect(value, message)

type Work = () => unknown
interface Suite {
  readonly name: string
  readonly before: Work[]
  readonly after: Work[]
  readonly tests: { readonly name: string; readonly work: Work }[]
}
const top: Suite = { name: "", before: [], after: [], tests: [] }
const suites: Suite[] = [top]
let current = top

const titled = (name: string, values: readonly unknown[]): string => {
  let next = 0
  return name
    .replace(/%[sij]/g, () => String(values[next++]))
    .replace(/\$(\w+)/g, (_, key) => String((values[0] as never)[key]))
}
const eachOf =
  (register: (name: string, work: Work) => void) =>
  (cases: readonly unknown[]) =>
  (name: string, work: (...values: never[]) => unknown) => {
    for (const given of cases) {
      const values = Array.isArray(given) ? given : [given]
      register(titled(name, values), () => work(...(values as never[])))
    }
  }

const addTest = (name: string, work: Work) => void current.tests.push({ name, work })
const addSuite = (name: string, work: Work) => {
  const outer = current
  current = { name: outer === top ? name : `${outer.name} > ${name}`, before: [], after: [], tests: [] }
  suites.push(current)
  work()
  current = outer
}
const withForms = (register: (name: string, work: Work) => void) => {
  const skipped = () => {}
  const form = Object.assign(register, { each: eachOf(register) })
  return Object.assign(form, {
    skipIf: (skip: boolean) => (skip ? Object.assign(skipped, { each: () => skipped }) : form),
  })
}
export const test = withForms((name, work) => addTest(name, work))
export const it = test
export const describe = withForms((name, work) => addSuite(name, work))
export const beforeAll = (work: Work): unknown => current.before.push(work)
export const afterAll = (work: Work): unknown => current.after.push(work)

/** Seconds after which a test counts as one that never ends. */
const patience = 120

/** Runs what was registered, where its name holds `only`. Returns how many failed. */
export async function runAll(only: string): Promise<number> {
  let failed = 0
  let passed = 0
  const attempt = async (name: string, work: Work) => {
    const started = performance.now()
    const stuck = setTimeout(() => {
      console.log(`STUCK ${name}`)
      process.exit(3)
    }, patience * 1000)
    try {
      await work()
      passed++
      console.log(`ok   ${name} (${Math.round(performance.now() - started)} ms)`)
    } catch (error) {
      failed++
      console.log(`FAIL ${name}: ${error instanceof Error ? error.stack : error}`)
    }
    clearTimeout(stuck)
  }
  for (const { name, before, after, tests } of suites) {
    const chosen = tests.filter((t) => `${name} > ${t.name}`.includes(only))
    if (chosen.length === 0) continue
    const quietly = async (work: Work) => {
      try {
        await work()
      } catch (error) {
        failed++
        console.log(`FAIL ${name}: ${error instanceof Error ? error.stack : error}`)
      }
    }
    for (const work of before) await quietly(work)
    for (const t of chosen) await attempt(`${name} > ${t.name}`, t.work)
    for (const work of after) await quietly(work)
  }
  console.log(`${passed} passed, ${failed} failed`)
  return failed
}
