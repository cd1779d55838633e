/**
 * Vitest's names for a program that runs where vitest is not: files of tests are bundled with this in its place (`runner.test.ts` holds that it has
 * all that they use).
 *
 *     const failed = await runAll()          registered by describe and test meanwhile; each is printed as it ends
 *
 * What failed is printed once more behind the counts, shortened: the end of an output is what is kept of a long one.
 */
import { JestAsymmetricMatchers, JestChaiExpect, JestExtend } from "@vitest/expect"
import * as chai from "chai"

for (const part of [JestExtend, JestChaiExpect, JestAsymmetricMatchers]) chai.use(part)
export const { expect } = chai

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
/** Characters of a failure that are printed once more. */
const shortened = 600

/** What has come of tests, and what failed. */
function createRecord() {
  const failures: string[] = []
  let passed = 0
  return {
    failures,
    pass: () => void passed++,
    fail(name: string, error: unknown) {
      const [message, where] = error instanceof Error ? [error.message, error.stack] : [String(error)]
      failures.push(`FAIL ${name}: ${message.slice(0, shortened)}`)
      console.log(`FAIL ${name}: ${where ?? message}`)
    },
    print() {
      console.log(`${passed} passed, ${failures.length} failed`)
      for (const failure of failures) console.log(failure)
    },
  }
}

/** Runs what was registered, where its name holds `only`. Returns how many failed. */
export async function runAll(only: string): Promise<number> {
  const record = createRecord()
  let running = "before the first test"
  // A promise that nobody waits for ends no other test.
  process.on("unhandledRejection", (error) => record.fail(`${running} (left behind)`, error))
  process.on("uncaughtException", (error) => record.fail(`${running} (left behind)`, error))
  const attempt = async (name: string, work: Work, passed: () => void) => {
    running = name
    const stuck = setTimeout(() => {
      record.fail(name, `did not end in ${patience} s`)
      record.print()
      process.exit(3)
    }, patience * 1000)
    try {
      await work()
      passed()
    } catch (error) {
      record.fail(name, error)
    }
    clearTimeout(stuck)
  }
  for (const { name, before, after, tests } of suites) {
    const chosen = tests.filter((t) => `${name} > ${t.name}`.includes(only))
    if (chosen.length === 0) continue
    const quietly = () => {}
    for (const work of before) await attempt(`${name} > before all`, work, quietly)
    for (const t of chosen) {
      const [title, started] = [`${name} > ${t.name}`, performance.now()]
      await attempt(title, t.work, () => {
        record.pass()
        console.log(`ok   ${title} (${Math.round(performance.now() - started)} ms)`)
      })
    }
    for (const work of after) await attempt(`${name} > after all`, work, quietly)
  }
  // What was left behind is told in a turn of its own.
  await new Promise((resolve) => setTimeout(resolve))
  record.print()
  return record.failures.length
}
