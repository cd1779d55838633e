/**
 * Text of the kernel language, for people and tests.
 *
 *   kernel scores(x: f32 as bf16 [64, 32], y: f32 [64, 32])   at model.ts:12:9
 *     local m[row < rows]: f32 = max_{c < 32}(x[row, c])
 *     #1 = exp((x[r, k] - m{r}))
 *     store y[r, k] over r < rows, k < 32 = (#1 * (1.0 + #1))
 *
 * Values are DAGs. A reduction, scan or longer expression that is used more than once gets a number and a line before the first item that uses it, so
 * that the text is as long as the DAG.
 */
import { identity, operands, print, rebuild, rewrite, variable, walk, withTable } from "../expression.js"
import { type Item, type Kernel, type KernelBuffer, rootsOf } from "../kernel.js"
import type { Expression } from "../nodes.js"
import type { Axis } from "../tensor.js"

export function printKernel(kernel: Kernel): string {
  const span = kernel.spans.at(-1)
  const place = span === undefined ? "" : `   at ${span.file}:${span.line}:${span.column}`
  const head = `kernel ${kernel.name}(${kernel.buffers.map(printBuffer).join(", ")})${place}`
  return withTable(() => {
    const names = sharedNames(kernel)
    const defined = new Set<Expression>()
    const lines = kernel.items.flatMap((item) => [...definitions(item, names, defined), printItem(item, names)])
    return [head, ...lines.map((line) => `  ${line}`)].join("\n")
  })
}

function printBuffer({ name, dtype, storage, shape }: KernelBuffer): string {
  return `${name}: ${dtype}${storage === dtype ? "" : ` as ${storage}`} [${shape.join(", ")}]`
}

function printItem(item: Item, names: Names): string {
  const text = (x: Expression) => print(shorten(x, names))
  const axes = item.axes.map((a) => printAxis(a)).join(", ")
  if (item.kind === "local") return `local ${item.name}[${axes}]: ${item.value.dtype} = ${text(item.value)}`
  const over = item.axes.length > 0 ? ` over ${axes}` : ""
  return `store ${item.buffer}[${item.index.map(text).join(", ")}]${over} = ${text(item.value)}`
}

const printAxis = ({ name, extent }: Axis): string => `${name} < ${print(extent)}`

type Names = ReadonlyMap<Expression, string>

/** Nodes in a tree from which a shared expression gets a number. */
const long = 12

function sharedNames(kernel: Kernel): Names {
  const uses = new Map<Expression, Set<Expression | string>>()
  const sizes = new Map<Expression, number>()
  const order: Expression[] = []
  const use = (x: Expression, by: Expression | string) => {
    const known = uses.get(x) ?? new Set()
    uses.set(x, known.add(by))
  }
  const seen = new Set<Expression>()
  kernel.items.forEach((item, i) => {
    rootsOf(item).forEach((root, at) => {
      use(root, `${i} ${at}`)
      walk(
        root,
        (x) => {
          order.push(x)
          sizes.set(
            x,
            operands(x).reduce((n, o) => n + sizes.get(o)!, 1),
          )
          operands(x).forEach((o, argument) => {
            use(o, `${identity(x)} ${argument}`)
          })
        },
        seen,
      )
    })
  })
  const named = order.filter((x) => {
    if (uses.get(x)!.size < 2) return false
    return x.kind === "reduce" || x.kind === "scan" || (x.kind === "operation" && sizes.get(x)! >= long)
  })
  return new Map(named.map((x, i) => [x, `#${i + 1}`]))
}

/** The expression with names in place of what has one; `whole` is kept itself. */
function shorten(root: Expression, names: Names, whole?: Expression): Expression {
  const replace = (x: Expression): Expression | undefined => {
    if (x === whole)
      return rebuild(
        x,
        operands(x).map((o) => shorten(o, names)),
      )
    const name = names.get(x)
    if (name !== undefined) return variable(name, x.dtype)
    const tuple = x.kind === "component" ? names.get(x.of) : undefined
    if (x.kind !== "component" || tuple === undefined) return undefined
    const slot = x.slot === undefined ? "" : `[${print(shorten(x.slot, names))}]`
    return variable(`${tuple}.${x.index}${slot}`, x.dtype)
  }
  return rewrite(root, replace)
}

/** The lines of the numbered expressions that an item is the first to use. */
function definitions(item: Item, names: Names, defined: Set<Expression>): string[] {
  const lines: string[] = []
  const seen = new Set<Expression>()
  for (const root of rootsOf(item))
    walk(
      root,
      (x) => {
        const name = names.get(x)
        if (name === undefined || defined.has(x)) return
        defined.add(x)
        lines.push(`${name} = ${print(shorten(x, names, x))}`)
      },
      seen,
    )
  return lines
}
