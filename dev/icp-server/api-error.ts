/** A refusal in the form of the ICP server: `{"error":{"code","message"}}`. Never leaves the server as an exception. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** The reason for the request log; like the real server's, the answer does not contain it. */
    readonly reason: string | null = null,
  ) {
    super(message)
  }
}

/** Simulates that a request crashes the server's process: no pending request is answered. */
export class ServerDies extends Error {
  override readonly name = 'ServerDies'
}

export const badRequest = (message: string) => new ApiError(400, 'BAD_REQUEST', message)
export const unauthorized = (message: string) => new ApiError(401, 'UNAUTHORIZED', message)
export const forbidden = (message: string) => new ApiError(403, 'FORBIDDEN', message)
export const notFound = (message: string) => new ApiError(404, 'NOT_FOUND', message)
export const conflict = (message: string) => new ApiError(409, 'CONFLICT', message)
export const rateLimited = () => new ApiError(429, 'RATE_LIMITED', 'Too many requests. Please try again later.')
export const internal = (message: string, reason: string | null = null) =>
  new ApiError(500, 'INTERNAL_ERROR', message, reason)
export const unavailable = (message: string) => new ApiError(503, 'SERVICE_UNAVAILABLE', message)
