/**
 * Text of the loop language, for people, tests and fault reports: one line per statement, two spaces per scope.
 *
 *   kernel rowSum(x: f32 as bf16 [rows * 64] read, y: f32 [rows] write)
 *   symbols rows
 *   threads 1, groups 8
 *   for row < rows grid {
 *     for lane < 1 lane {
 *       var total: f32 = 0.0
 *       for i < 64 serial {
 *         total = (total + x[((row * 64) + i)])
 *       }
 *       y[row] = total
 *     }
 *   }
 */
import { print } from "../expression.js"
import type { LoopBuffer, LoopKernel, Statement } from "../loop.js"
import type { Expression } from "../nodes.js"

export function printLoop(kernel: LoopKernel): string {
  return [
    `kernel ${kernel.name}(${kernel.buffers.map(printBuffer).join(", ")})`,
    ...(kernel.symbols.length > 0 ? [`symbols ${kernel.symbols.join(" ")}`] : []),
    `threads ${kernel.threads}, groups ${kernel.groups}`,
    ...lines(kernel.body, ""),
  ].join("\n")
}

function printBuffer({ name, dtype, storage, size, access }: LoopBuffer): string {
  return `${name}: ${dtype}${storage === dtype ? "" : ` as ${storage}`} [${print(size)}] ${access}`
}

function lines(body: readonly Statement[], indent: string): string[] {
  return body.flatMap((s) => {
    const head = `${indent}${printStatement(s)}`
    const inner = `${indent}  `
    switch (s.kind) {
      case "for":
      case "block":
        return [head, ...lines(s.body, inner), `${indent}}`]
      case "if": {
        const otherwise = s.otherwise.length > 0 ? [`${indent}} else {`, ...lines(s.otherwise, inner)] : []
        return [head, ...lines(s.body, inner), ...otherwise, `${indent}}`]
      }
      default:
        return [head]
    }
  })
}

/** The line of one statement; of a statement with a body, its head. */
export function printStatement(s: Statement): string {
  switch (s.kind) {
    case "for":
      return `for ${s.variable} < ${print(s.extent)} ${s.bind} {`
    case "if":
      return `if ${print(s.condition)} {`
    case "block":
      return "{"
    case "let":
      return `${s.mutable ? "var" : "let"} ${s.name}: ${printType(s.value)} = ${print(s.value)}`
    case "assign":
      return `${s.name} = ${print(s.value)}`
    case "alloc":
      return `${s.space} ${s.name}: ${s.dtype}${s.storage === undefined ? "" : ` as ${s.storage}`}[${s.size}]`
    case "store":
      return `${s.array}[${print(s.offset)}${s.value.width > 1 ? ` : ${s.value.width}` : ""}] = ${print(s.value)}`
    case "shuffle":
      return `shuffle ${s.name}: ${printType(s.value)} = ${print(s.value)} across ${s.mask}`
    case "prefetch":
      return `prefetch ${s.array}[${print(s.offset)}${s.width > 1 ? ` : ${s.width}` : ""}]`
    case "barrier":
    case "await":
    case "release":
      return s.kind
    default:
      return s satisfies never
  }
}

const printType = (x: Expression): string => (x.width === 1 ? x.dtype : `${x.dtype}x${x.width}`)
