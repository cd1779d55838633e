/**
 * Checks small programs with the TypeScript API, as an editor would, and says what it would underline and print.
 *
 *     check(['dot(x, w, "dim")'])   →   [{ text: '"dim"', message: "Argument of type …" }] for the first program
 */
import { Project, type SourceFile, ts } from "ts-morph"

/** What every program may use. */
const prelude = `
import * as z from "zod"
import {
  add, append, argmax, assign, at, biased, bits, call, cast, causal, constant, defineModel, defineProgram, dot, extent, grows, indexing,
  input, iota, literal, map, mapTo, max, merge, mul, normalize, outer, outerTo, pick, rename, repeat, reverse, rmsNorm, roll, rope, scale, scan, silu, slice, softmax,
  split, stack, state, sum, toF32, toI32, toU32, top, upTo, weight, where, windows, type Index, type Rotary, type Tensor,
} from "../../dsl/index.js"
declare const x: Tensor<"seq" | "embed">
declare const hidden: Tensor<"seq" | "hidden">
declare const bias: Tensor<"embed">
declare const w: Tensor<"embed" | "out">
declare const q: Tensor<"seq" | "kv" | "rep" | "dim">
declare const k: Tensor<"seq" | "kv" | "dim">
declare const past: Tensor<"key" | "kv" | "dim">
declare const scores: Tensor<"seq" | "expert">
declare const experts: Tensor<"expert" | "embed" | "hidden">
declare const tokens: Index<"seq", "vocab">
declare const position: Index<"seq", "position">
declare const words: Tensor<"seq", "u32">
declare const mask: Tensor<"seq", "bool">
declare const rotary: Rotary
/** Fails unless the type is exactly A and D. */
declare function exactly<A extends string, D extends "f32" | "i32" | "u32" | "bool" = "f32">(x: Tensor<A, D>): void
`

export interface Finding {
  /** The underlined text. */
  readonly text: string
  /** The first line of the message, the members of each union in alphabetical order (TypeScript's own depends on which it met first). */
  readonly message: string
}

/** The errors of each program, in the order of their places. */
export function check(programs: readonly string[]): readonly (readonly Finding[])[] {
  const project = new Project({
    tsConfigFilePath: "tsconfig.json",
    skipAddingFilesFromTsConfig: true,
    compilerOptions: { noEmit: true, types: [] },
  })
  const files = programs.map((body, i) => project.createSourceFile(`test/types/program-${i}.ts`, `${prelude}${body}\n`))
  const program = project.getProgram().compilerObject
  return files.map((file) => findings(file, program))
}

function findings(file: SourceFile, program: ts.Program): readonly Finding[] {
  const { compilerNode } = file
  return [...program.getSyntacticDiagnostics(compilerNode), ...program.getSemanticDiagnostics(compilerNode)].map(
    (found) => {
      const { start = 0, length = 0, messageText } = found
      const message = ts.flattenDiagnosticMessageText(messageText, "\n").split("\n")[0]!
      return { text: file.getFullText().slice(start, start + length), message: sortedUnions(message) }
    },
  )
}

export function sortedUnions(message: string): string {
  return message.replace(/"\w+"( \| "\w+")+/g, (union) => union.split(" | ").sort().join(" | "))
}
