/**
 * The form of a schedule that comes from a file: numbers are whole and in their range, and no field is unknown.
 *
 *   kernels.6d1c….schedule.stores[0].tile.out.block is 0, not a whole number from 1 on or "all"
 *
 * What may stand where is said by the fields of `ir/schedule.ts`. Whether a kernel can be laid out that way is for `tile` to say.
 */
import { type Fields, type Form, scheduleForm } from "../../ir/schedule.js"

export type Fail = (where: string, why: string) => never

function check(form: Form, value: unknown, where: string, fail: Fail): void {
  const given = JSON.stringify(value)
  const whole = Number.isSafeInteger(value) ? (value as number) : Number.NaN
  if (form.kind === "count") {
    const { least, most = Number.MAX_SAFE_INTEGER } = form
    const range = form.most === undefined ? `from ${least} on` : `from ${least} to ${most}`
    if (!(whole >= least && whole <= most)) fail(where, `is ${given}, not a whole number ${range}`)
  } else if (form.kind === "extent") {
    if (!(whole >= 1) && value !== "all") fail(where, `is ${given}, not a whole number from 1 on or "all"`)
  } else if (form.kind === "truth") {
    if (typeof value !== "boolean") fail(where, "is neither true nor false")
  } else if (form.kind === "axis" || form.kind === "word") {
    if (typeof value !== "string") fail(where, "is not a text")
  } else if (form.kind === "list") {
    const all: readonly unknown[] = Array.isArray(value) ? value : fail(where, "is not a list")
    for (const [i, x] of all.entries()) check(form.of, x, `${where}[${i}]`, fail)
  } else if (form.kind === "keyed") {
    for (const [name, x] of fieldsOf(value, where, fail)) check(form.of, x, `${where}.${name}`, fail)
  } else checkFields(form.of, value, where, fail)
}

function checkFields(fields: Fields, value: unknown, where: string, fail: Fail): void {
  const given = fieldsOf(value, where, fail)
  for (const [name, { leftOut }] of Object.entries(fields))
    if (leftOut === undefined && !given.some(([n]) => n === name)) fail(`${where}.${name}`, "is missing")
  for (const [name, x] of given) {
    const field = Object.hasOwn(fields, name) ? fields[name]! : fail(`${where}.${name}`, "is no field of it")
    check(field.form, x, `${where}.${name}`, fail)
  }
}

function fieldsOf(value: unknown, where: string, fail: Fail): readonly (readonly [string, unknown])[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fail(where, "is not an object")
  return Object.entries(value)
}

/** One kernel of a record. */
export function checkKernel(value: unknown, where: string, fail: Fail): void {
  const given = new Map(fieldsOf(value, where, fail))
  for (const name of ["microseconds", "heuristicMicroseconds"]) {
    const time = given.get(name)
    if (!given.delete(name)) fail(`${where}.${name}`, "is missing")
    if (typeof time !== "number" || !(time >= 0)) fail(`${where}.${name}`, "is not a number of microseconds")
  }
  checkFields(kernelFields, Object.fromEntries(given), where, fail)
}

const kernelFields: Fields = {
  axes: { form: { kind: "list", of: { kind: "axis" } }, about: "The names that the schedule uses." },
  schedule: { form: scheduleForm, about: "The best one that was found." },
}
