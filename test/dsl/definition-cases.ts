/**
 * What files define outside of a trace, with one argument that the test draws, and whether it is a right one: the
 * counterpart of misuse-programs.ts for the calls that run while a file is imported or a config is read.
 */
import { z } from "zod"
import * as language from "../../dsl/index.js"
import { type RotaryConfig, rotaryConflict, rotaryContext, rotaryFrequencies } from "../../models/rotary.js"

const { bits, defineModel, defineProgram, fromBits, grows, input, keeps, repeat } = language
const { stack, state, toF32, toI32, toU32, upTo, weight } = language

export interface DefinitionCase {
  readonly call: (drawn: never) => unknown
  readonly right: (drawn: unknown) => boolean
}

const large = 2 ** 31 - 1
const whole = (least: number) => (v: unknown) => Number.isInteger(v) && (v as number) >= least && (v as number) <= large
const named = (v: unknown) => typeof v === "string" && v !== ""
const optional = (right: (v: unknown) => boolean) => (v: unknown) => v === undefined || right(v)
const oneOf = (...names: readonly string[]) => optional((v) => names.includes(v as string))
const never = () => false
/** Objects whose values the drawn ones are: only the empty one is among them. */
const record = (v: unknown) => typeof v === "object" && v !== null && !Array.isArray(v)
const isFunction = (v: unknown) => typeof v === "function"
const texts = (v: unknown) => Array.isArray(v) && v.every((text) => typeof text === "string")

const program = (part: object) =>
  defineProgram({ inputs: { x: input({ a: 2 }) }, outputs: { x: ["a"] }, run: (x: object) => x, ...part } as never)
const model = (part: object) =>
  defineModel({
    families: ["one"],
    config: z.object({}),
    facts: () => ({}),
    parameters: () => ({}),
    state: () => ({}),
    forward: () => ({}),
    ...part,
  } as never)
const rope = { max_position_embeddings: 64 } as RotaryConfig

/** A case is named after its function. */
export const definitions: Readonly<Record<string, DefinitionCase>> = {
  "weight name": { call: (v) => weight(v, { a: 1 }), right: named },
  "weight extent": { call: (v) => weight("w", { a: v }), right: whole(1) },
  "weight axis": { call: (v) => weight("w", { b: 1 }, { [v]: 1 }), right: (v) => String(v) !== "" && v !== "b" },
  "weight dimension": { call: (v) => weight("w", v), right: record },
  "stack axis": { call: (v) => stack(v, 1, () => weight("w", { a: 1 })), right: (v) => named(v) && v !== "a" },
  "stack extent": {
    call: (v) => stack("s", v, (i) => weight(`w${i}`, { a: 1 })),
    right: (v) => whole(1)(v) && (v as number) < 100,
  },
  "stack part": { call: (v) => stack("s", 1, () => v), right: never },
  "stack function": { call: (v) => stack("s", 1, v), right: never },
  "stack of stacks": {
    call: () => stack("s", 1, () => stack("t", 1, () => weight("w", { a: 1 }))),
    right: never,
  },
  "stack of shapes": { call: () => stack("s", 2, (i) => weight(`w${i}`, { a: i + 1 })), right: never },
  "stack of one": { call: () => stack("s", 2, () => weight("w", { a: 1 })), right: never },
  grows: { call: (v) => grows(v), right: whole(1) },
  "keeps rows": { call: (v) => keeps(v, 8), right: whole(1) },
  "keeps maximum": { call: (v) => keeps(1, v), right: whole(1) },
  "state rows": { call: (v) => state({ a: { grows: 8, keeps: v } }), right: optional(whole(1)) },
  "state of two": { call: () => state({ a: keeps(1, 8), b: grows(8) }), right: never },
  "state extent": { call: (v) => state({ a: v }), right: whole(1) },
  "state maximum": { call: (v) => state({ a: { grows: v } }), right: whole(1) },
  "state axis": { call: (v) => state({ [v]: 1 }), right: (v) => String(v) !== "" },
  "state axes": { call: (v) => state(v), right: record },
  "state type": { call: (v) => state({ a: 1 }, v), right: oneOf("f32", "i32", "u32", "bool") },
  "repeat count": { call: (v) => repeat(v, (i) => i), right: (v) => whole(0)(v) && (v as number) < 100 },
  "repeat function": { call: (v) => repeat(1, v), right: isFunction },
  "upTo maximum": { call: (v) => upTo(v), right: whole(1) },
  "upTo symbol": { call: (v) => upTo(1, v), right: optional(named) },
  "input extent": { call: (v) => input({ a: v }), right: whole(0) },
  "input axis": { call: (v) => input({ [v]: 1 }), right: (v) => String(v) !== "" },
  "input axes": { call: (v) => input(v), right: record },
  "input maximum": { call: (v) => input({ a: { max: v, symbol: undefined } }), right: whole(1) },
  "input type": { call: (v) => input({ a: 1 }, v), right: oneOf("f32", "i32", "u32") },
  "defineProgram definition": { call: (v) => defineProgram(v), right: never },
  "defineProgram inputs": { call: (v) => program({ inputs: v }), right: record },
  "defineProgram input": { call: (v) => program({ inputs: { x: v } }), right: never },
  "defineProgram outputs": { call: (v) => program({ outputs: v }), right: record },
  "defineProgram output": { call: (v) => program({ outputs: { x: v } }), right: texts },
  "defineProgram run": { call: (v) => program({ run: v }), right: isFunction },
  "defineModel definition": { call: (v) => defineModel(v), right: never },
  "defineModel families": { call: (v) => model({ families: v }), right: texts },
  "defineModel ignore": { call: (v) => model({ ignore: v }), right: optional(texts) },
  "defineModel config": { call: (v) => model({ config: v }), right: never },
  "defineModel facts": { call: (v) => model({ facts: v }), right: isFunction },
  "defineModel alternatives": { call: (v) => model({ alternatives: v }), right: optional(isFunction) },
  "defineModel parameters": { call: (v) => model({ parameters: v }), right: isFunction },
  "defineModel state": { call: (v) => model({ state: v }), right: isFunction },
  "defineModel forward": { call: (v) => model({ forward: v }), right: isFunction },
  "rotaryFrequencies channels": {
    call: (v) => rotaryFrequencies(rope, v),
    right: (v) => whole(2)(v) && (v as number) % 2 === 0 && (v as number) < 100,
  },
  rotaryContext: { call: () => rotaryContext(rope), right: () => true },
  rotaryConflict: { call: () => rotaryConflict(rope), right: () => true },
  bits: { call: (v) => bits(v), right: never },
  fromBits: { call: (v) => fromBits(v), right: never },
  toF32: { call: (v) => toF32(v), right: never },
  toI32: { call: (v) => toI32(v), right: never },
  toU32: { call: (v) => toU32(v), right: never },
}

/** Numbers of elements that are right but take seconds to make so many of. */
export const isCostly = (name: string, drawn: unknown): boolean =>
  ["stack extent", "repeat count", "rotaryFrequencies channels"].includes(name) &&
  whole(0)(drawn) &&
  (drawn as number) >= 100

/** What `call` throws: undefined when `drawn` is taken. */
export function refusal({ call }: DefinitionCase, drawn: unknown): unknown {
  try {
    call(drawn as never)
    return undefined
  } catch (error) {
    return error
  }
}
