/** A Hub in this process: the answers of its interface for one model, and ways to fail. */
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

export interface Served {
  readonly name: string
  readonly commit: string
  readonly files: Readonly<Record<string, Uint8Array>>
  /** Files that are listed by the SHA-256 of their bytes. */
  readonly large: readonly string[]
}

/** Answers a request in its own way; false leaves it to the Hub. */
export type Fault = (request: IncomingMessage, response: ServerResponse, body: Uint8Array | undefined) => boolean

export interface LocalHub {
  readonly endpoint: string
  /** Method and path of what was asked. */
  readonly asked: readonly string[]
  fault: Fault | undefined
  served: Served
  close(): Promise<void>
}

export async function openHub(served: Served): Promise<LocalHub> {
  const asked: string[] = []
  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const hub: LocalHub = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    fault: undefined,
    served,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const path = decodeURIComponent((request.url ?? "").split("?")[0]!)
    asked.push(`${request.method} ${path}`)
    const { name, commit, files } = hub.served
    const file = path.startsWith(`/${name}/resolve/${commit}/`) ? path.slice(`/${name}/resolve/${commit}/`.length) : ""
    const bytes = files[file]
    if (hub.fault?.(request, response, bytes)) return
    const json = (value: unknown) => response.setHeader("content-type", "application/json").end(JSON.stringify(value))
    if (path.startsWith(`/api/models/${name}/revision/`)) {
      const rest = path.slice(`/api/models/${name}/revision/`.length)
      if (!["main", commit].includes(rest)) return void response.writeHead(404).end()
      return void json({
        id: name,
        _id: name,
        sha: commit,
        siblings: Object.keys(files).map((rfilename) => ({ rfilename })),
      })
    }
    if (path === `/api/models/${name}/paths-info/${commit}`) {
      const { paths } = JSON.parse(Buffer.concat(parts).toString()) as { paths: readonly string[] }
      return void json(paths.filter((p) => files[p]).map((p) => listed(hub.served, p)))
    }
    if (bytes === undefined) return void response.writeHead(404).end()
    sendRange(request, response, bytes)
  }
  return hub
}

export function listed({ files, large }: Served, path: string): object {
  const bytes = files[path]!
  const git = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex")
  const base = { type: "file", path, size: bytes.length, oid: git }
  if (!large.includes(path)) return base
  return {
    ...base,
    lfs: { oid: createHash("sha256").update(bytes).digest("hex"), size: bytes.length, pointerSize: 130 },
  }
}

/** The bytes that were asked for; of `whole`, so many at most, and then the connection ends. */
export function sendRange(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array,
  most = Infinity,
): void {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? []
  const start = Number(from ?? 0)
  const end = Math.min(bytes.length, to ? Number(to) + 1 : bytes.length)
  const headers = {
    etag: '"e"',
    "content-length": end - start,
    ...(from && { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` }),
  }
  response.writeHead(from === undefined ? 200 : 206, headers)
  if (end - start <= most) return void response.end(bytes.subarray(start, end))
  response.write(bytes.subarray(start, start + most), () => response.destroy())
}
