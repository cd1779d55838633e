/** The fields of a schedule: one table, from which the check of files, renaming, the key of what is tried and the README follow. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import {
  type Field,
  type Fields,
  type Form,
  renamedAxes,
  type Schedule,
  scheduleFields,
  scheduleForm,
  scheduleKey,
} from "../../compiler/ir/schedule.js"
import { triedValues } from "../../compiler/schedule/rules.js"
import { checkKernel, type Fail } from "../../compiler/schedule/tuned/check.js"
import { root } from "../support/goldens.js"

const readme = join(root, "compiler/schedule/README.md")

const places = Object.entries(scheduleFields) as readonly (readonly [keyof typeof scheduleFields, Fields])[]

/** What the fields of each place are said of. */
const saidOf: Readonly<Record<keyof typeof scheduleFields, string>> = {
  kernel: "a kernel",
  store: "a store",
  axis: "an axis of a store",
  reduction: "a reduction: of a store, of locals, of staged scores",
  staged: "what is staged",
  filled: "an axis of what is staged, as it is filled",
}

function described(form: Form): string {
  switch (form.kind) {
    case "count":
      return form.most === undefined ? `whole, from ${form.least} on` : `whole, ${form.least} to ${form.most}`
    case "extent":
      return 'whole, from 1 on, or "all"'
    case "truth":
      return "true or false"
    case "axis":
      return "an axis"
    case "word":
      return "a name"
    case "list":
      return form.of.kind === "fields" ? "a list" : `a list: ${described(form.of)}`
    case "keyed":
      return form.of.kind === "fields" ? `by ${form.by}` : `by ${form.by}: ${described(form.of)}`
    case "fields": {
      const place = places.find(([, fields]) => fields === form.of)
      return place === undefined ? Object.keys(form.of).join(", ") : `as of a ${place[0]}`
    }
    default:
      return form satisfies never
  }
}

const meant = ({ leftOut }: Field): string =>
  leftOut === undefined ? "" : `; left out: ${typeof leftOut === "object" ? "nothing" : leftOut}`

const lists = places.map(([place, fields]) => {
  const entries = Object.entries(fields).map(
    ([name, f]) => `- \`${name}\` (${described(f.form)}${meant(f)}). ${f.about}`,
  )
  return [`## Of ${saidOf[place]}`, "", ...entries, ""].join("\n")
})

test("the README says of each field what the table says", () => {
  const text = readFileSync(readme, "utf8")
  const now = [text.split(/\n+## /)[0]!.trimEnd(), ...lists].join("\n\n").replaceAll("\n\n\n", "\n\n")
  if (process.env.WEFT_WRITE === "1") writeFileSync(readme, now)
  else expect(text).toBe(now)
})

/** Something of each form, with every field said. */
function sample(form: Form): unknown {
  switch (form.kind) {
    case "count":
      return form.most ?? form.least + 2
    case "extent":
      return 12
    case "truth":
      return true
    case "axis":
      return "old"
    case "word":
      return "name"
    case "list":
      return [sample(form.of)]
    case "keyed":
      return { [form.by === "axis" ? "old" : "b0"]: sample(form.of) }
    case "fields":
      return Object.fromEntries(Object.entries(form.of).map(([name, f]) => [name, sample(f.form)]))
    default:
      return form satisfies never
  }
}

/** Each thing that is said in a value of a form, by its path, with the same value but for another thing there. */
function* changed(
  form: Form,
  value: unknown,
  path: string,
): Generator<readonly [Form, string, (x: unknown) => unknown]> {
  yield [form, path, (x) => x]
  const inside =
    form.kind === "list" || form.kind === "keyed"
      ? Object.entries(value as object).map(([key, x]) => [key, x, form.of] as const)
      : form.kind === "fields"
        ? Object.entries(value as object).map(([key, x]) => [key, x, form.of[key]!.form] as const)
        : []
  for (const [key, x, of] of inside)
    for (const [f, at, put] of changed(of, x, form.kind === "list" ? `${path}[${key}]` : `${path}.${key}`))
      yield [
        f,
        at,
        (y) =>
          form.kind === "list"
            ? [put(y)]
            : Object.fromEntries(
                Object.entries({ ...(value as object), [key]: put(y) }).filter(([, z]) => z !== undefined),
              ),
      ]
}

const whole = sample(scheduleForm) as Schedule
const all = [...changed(scheduleForm, whole, "k.schedule")]

const checked = (schedule: unknown): string => {
  const fail: Fail = (where, why) => {
    throw new RangeError(`${where} ${why}`)
  }
  try {
    checkKernel({ axes: ["old"], schedule, microseconds: 1, heuristicMicroseconds: 2 }, "k", fail)
    return ""
  } catch (e) {
    if (e instanceof RangeError) return e.message
    throw e
  }
}

describe("files", () => {
  test("everything that may be said passes", () => {
    expect(all.length).toBeGreaterThan(50)
    expect(checked(whole)).toBe("")
  })

  test("nothing of another form passes, and its place is told", () => {
    for (const [form, path, put] of all) {
      const wrong =
        form.kind === "count" ? [form.least - 1, 1.5, "2", ...(form.most ? [form.most + 1] : [])] : [null, 0]
      for (const value of wrong) expect(checked(put(value))).toContain(`${path} is`)
      if (form.kind === "fields") {
        const given = sample(form) as Readonly<Record<string, unknown>>
        expect(checked(put({ ...given, unknown: 1 }))).toBe(`${path}.unknown is no field of it`)
        for (const [name, { leftOut }] of Object.entries(form.of)) {
          const { [name]: _, ...rest } = given
          expect(checked(put(rest))).toBe(leftOut === undefined ? `${path}.${name} is missing` : "")
        }
      }
    }
  })
})

test("axes have their new names wherever they are said", () => {
  expect(JSON.stringify(whole)).toContain('"old"')
  const text = JSON.stringify(renamedAxes(scheduleForm, whole, () => "new"))
  expect(text).toBe(JSON.stringify(whole).replaceAll('"old"', '"new"'))
  expect(JSON.stringify(renamedAxes(scheduleForm, whole, () => undefined))).not.toContain('"old"')
})

test("two schedules are one where they differ in what is meant anyway, and only there", () => {
  expect(scheduleKey(JSON.parse(JSON.stringify(whole, Object.keys(allNames(whole)).reverse())))).toBe(
    scheduleKey(whole),
  )
  const keys = new Set<string>()
  for (const [form, , put] of all) {
    if (form.kind !== "fields") continue
    const given = sample(form) as Readonly<Record<string, unknown>>
    for (const [name, { leftOut }] of Object.entries(form.of)) {
      if (leftOut === undefined) continue
      const without = scheduleKey(put({ ...given, [name]: undefined }) as Schedule)
      keys.add(without)
      if (typeof leftOut !== "string") expect(scheduleKey(put({ ...given, [name]: leftOut }) as Schedule)).toBe(without)
    }
  }
  const optional = all.flatMap(([form]) =>
    form.kind === "fields" ? Object.values(form.of).filter((f) => f.leftOut !== undefined) : [],
  )
  // A truth that is sampled as what is meant anyway makes no difference.
  const same = optional.filter((f) => f.leftOut === true).length
  expect(keys.size).toBe(optional.length - same + 1)
  expect(keys.has(scheduleKey(whole))).toBe(true)
})

const allNames = (value: unknown): Record<string, true> =>
  typeof value !== "object" || value === null
    ? {}
    : Object.assign({}, ...Object.entries(value).map(([name, x]) => ({ [name]: true, ...allNames(x) })))

test("values that are tried may stand where they are tried", () => {
  const given = Object.entries(triedValues) as readonly [
    keyof typeof scheduleFields,
    Readonly<Record<string, readonly unknown[]>>,
  ][]
  for (const [place, fields] of given)
    for (const [name, values] of Object.entries(fields)) {
      const at = all.filter(([form]) => form.kind === "fields" && form.of === scheduleFields[place])
      expect(at.length).toBeGreaterThan(0)
      for (const [form, , put] of at)
        for (const value of values) expect(checked(put({ ...(sample(form) as object), [name]: value }))).toBe("")
    }
})
