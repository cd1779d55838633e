/** A server of files in memory, which knows ranges, and answers as servers do that do not, or break off. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

/** Answers in its own way; false leaves it to the server. */
export type Fault = (
  request: IncomingMessage,
  response: ServerResponse,
  range: readonly [number, number] | undefined,
) => boolean

export interface FileServer {
  readonly origin: string
  /** Method, path and range of what was asked. */
  readonly asked: string[]
  fault: Fault | undefined
  close(): Promise<void>
}

export async function serve(files: Readonly<Record<string, Uint8Array>>): Promise<FileServer> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://local")
    const [, begin, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? []
    const range = begin === undefined ? undefined : ([Number(begin), Number(end)] as const)
    served.asked.push(`${request.method} ${pathname}${range ? ` ${begin}-${end}` : ""}`)
    if (served.fault?.(request, response, range)) return
    const bytes = files[pathname]
    if (bytes === undefined) return void response.writeHead(404).end()
    if (range === undefined) return void response.writeHead(200, { "content-length": bytes.length }).end(bytes)
    if (range[0] >= bytes.length)
      return void response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end()
    const part = bytes.subarray(range[0], range[1] + 1)
    const contentRange = `bytes ${begin}-${range[0] + part.length - 1}/${bytes.length}`
    response.writeHead(206, { "content-range": contentRange, etag: '"1"' }).end(part)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const served: FileServer = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    fault: undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return served
}
