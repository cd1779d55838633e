/** The calls of misuse-programs.ts with what they are given, shared by the tests of misuse and of what doc comments say. */
import { loadModel } from "../../compiler/frontend/load.js"
import { literal, withTable } from "../../compiler/ir/expression.js"
import { input } from "../../compiler/ir/tensor.js"
import { createTracing } from "../../compiler/trace/trace.js"
import { withTracing } from "../../dsl/attach.js"
import { WeftError } from "../../runtime/errors.js"
import type { Given, Slot } from "./misuse-programs.js"

export async function loadSlots(): Promise<{
  readonly slots: Readonly<Record<string, Slot>>
  readonly lines: readonly string[]
}> {
  const { module, files } = await loadModel("test/dsl/misuse-programs.ts")
  const { text } = files.find(({ path }) => path === "test/dsl/misuse-programs.ts")!
  return { slots: module.slots as Readonly<Record<string, Slot>>, lines: text.split("\n") }
}

export const given = (): Given => {
  const axes = { a: 6, b: 4 }
  const made = (name: string, dtype: "f32" | "i32" | "bool", names: readonly ("a" | "b")[]) =>
    input(
      name,
      "input",
      names.map((axis) => ({ name: axis, extent: literal(axes[axis]) })),
      dtype,
      dtype,
      names.map((axis) => axes[axis]),
    ) as never
  return { x: made("x", "f32", ["a", "b"]), i: made("i", "i32", ["a"]), c: made("c", "bool", ["a"]) }
}

/** What `slot` makes of `drawn`: undefined when it is taken. */
export function attempt(slot: Slot, drawn: unknown): unknown {
  return withTable(() => {
    try {
      const all = given()
      withTracing(createTracing(Object.values(all) as never), () => slot.call(all, drawn as never))
      return undefined
    } catch (error) {
      return error
    }
  })
}

export const numbers = [
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  -1,
  -7,
  0.5,
  -0.5,
  2.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  1e39,
  2 ** 31,
  2 ** 32,
  -(2 ** 31) - 1,
]
export const others = [
  undefined,
  null,
  "",
  "a",
  "b",
  "n",
  "sum",
  "f32",
  "f64",
  "i32",
  true,
  false,
  1n,
  {},
  [],
  [1],
  Symbol("s"),
  () => 1,
]

/** The codes with which each function of the language refuses these, each with one of its sentences; a slot is named after its function. */
export async function observed(): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
  const found = new Map<string, Map<string, string>>()
  for (const [name, slot] of Object.entries((await loadSlots()).slots)) {
    const codes = found.get(name.split(" ")[0]!) ?? new Map<string, string>()
    found.set(name.split(" ")[0]!, codes)
    for (const value of [...numbers, ...others]) {
      const error = slot.right(value) ? undefined : attempt(slot, value)
      if (error instanceof WeftError) codes.set(error.code, error.reason)
    }
  }
  return found
}
