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
import {
  type BoxCopy,
  isTile,
  type LoopBuffer,
  type LoopKernel,
  type Place,
  type Statement,
  type Tile,
} from "../loop.js"
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
      return printAlloc(s)
    case "store":
      return `${s.array}[${print(s.offset)}${s.value.width > 1 ? ` : ${s.value.width}` : ""}] ${s.adds ? "+=" : "="} ${print(s.value)}`
    case "shuffle":
      return `shuffle ${s.name}: ${printType(s.value)} = ${print(s.value)} across ${s.mask}`
    case "prefetch":
      return `prefetch ${s.array}[${print(s.offset)}${s.width > 1 ? ` : ${s.width}` : ""}]`
    case "multiply":
      return `multiply ${printPlace(s.c)} ${s.fresh === true ? "=" : "+="} ${printOperand(s.a)} * ${printOperand(s.b)} by ${s.atom}`
    case "fill": {
      const lies = `${print(s.stride)}${s.transposed ? " transposed" : ""}${s.count > 1 ? `, ${s.count} by ${s.step}` : ""}`
      return `fill ${printPlace(s.to)} = ${printPlace(s.from)} stride ${lies} as ${s.operand} of ${s.atom}`
    }
    case "drain":
      return `drain ${printPlace(s.to)} stride ${print(s.stride)}${s.transposed ? " transposed" : ""} = ${printPlace(s.from)} of ${s.atom}`
    case "copy": {
      const valid = s.valid === undefined ? "" : ` if ${print(s.valid)}`
      return `copy ${printPlace(s.to, s.width)} = ${printPlace(s.from, s.width)}${valid}`
    }
    case "arrivals":
      return `arrivals ${s.name}[${s.places}]`
    case "copyBoxes":
      return `copy boxes ${print(s.number)} of ${s.arrivals}${s.last === true ? ", the last lane" : ""}: ${s.boxes.map(printBox).join(", ")}`
    case "arrived":
      return `arrived ${print(s.number)} of ${s.arrivals}`
    case "commit":
      return `commit ${s.of}`
    case "wait":
      return `wait ${s.of} but ${s.groups}`
    case "barrier":
    case "await":
    case "release":
      return s.kind
    default:
      return s satisfies never
  }
}

function printAlloc(s: Statement & { kind: "alloc" }): string {
  const { space, name, dtype, storage, size, layout, swizzle, aside } = s
  const held = layout === undefined ? "" : ` as ${layout.operand} of ${layout.atom}`
  const lies = swizzle === undefined ? "" : ` swizzle ${swizzle}`
  return `${space} ${name}: ${dtype}${storage === undefined ? "" : ` as ${storage}`}[${size}]${held}${lies}${aside === true ? " aside" : ""}`
}

const printPlace = ({ array, offset }: Place, width = 1): string =>
  `${array}[${print(offset)}${width > 1 ? ` : ${width}` : ""}]`

const printBox = ({ to, from }: BoxCopy): string => {
  const { array, rows, columns, stride, row, column, height, width } = from
  return `${printPlace(to)} = ${array}[${rows} by ${stride}, ${columns}][${print(row)} : ${height}, ${print(column)} : ${width}]`
}

const printOperand = (operand: Place | Tile): string =>
  isTile(operand)
    ? `${printPlace(operand)} stride ${operand.stride}${operand.transposed ? " transposed" : ""}${operand.panel === undefined ? "" : ` panels ${operand.panel}`}`
    : printPlace(operand)

const printType = (x: Expression): string => (x.width === 1 ? x.dtype : `${x.dtype}x${x.width}`)
