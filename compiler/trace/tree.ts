/**
 * Trees of tensors: what models pass around (`{ k, v }`, arrays of layers). Plain objects and arrays are branches; everything else is a leaf.
 */

export interface TreeLeaf {
  /** Dotted path from the root, "" for a leaf root. */
  readonly path: string
  readonly value: unknown
}

const isBranch = (x: unknown): x is object =>
  Array.isArray(x) || (typeof x === "object" && x !== null && Object.getPrototypeOf(x) === Object.prototype)

/** The leaves that `isLeaf` accepts, in a fixed order (arrays by index, objects by insertion). */
export function treeLeaves(root: unknown, isLeaf: (x: unknown) => boolean): readonly TreeLeaf[] {
  const found: TreeLeaf[] = []
  const visit = (x: unknown, path: string) => {
    if (isLeaf(x)) found.push({ path, value: x })
    else if (isBranch(x))
      for (const [key, value] of Object.entries(x)) visit(value, path === "" ? key : `${path}.${key}`)
  }
  visit(root, "")
  return found
}

/** The same tree with each accepted leaf replaced; other leaves are kept. */
export function mapTree(
  root: unknown,
  isLeaf: (x: unknown) => boolean,
  replace: (x: unknown, path: string) => unknown,
): unknown {
  const visit = (x: unknown, path: string): unknown => {
    if (isLeaf(x)) return replace(x, path)
    if (Array.isArray(x)) return x.map((value, i) => visit(value, path === "" ? String(i) : `${path}.${i}`))
    if (isBranch(x))
      return Object.fromEntries(
        Object.entries(x).map(([key, value]) => [key, visit(value, path === "" ? key : `${path}.${key}`)]),
      )
    return x
  }
  return visit(root, "")
}
