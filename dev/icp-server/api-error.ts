/** A refusal as the ICP server words it: `{"error":{"code","message"}}`. It never leaves the server as an exception. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** Why, for whoever runs the server; the answer does not say it, as the real one's does not. */
    readonly reason: string | null = null,
  ) {
    super(message)
  }
}

/** The server's process dies of a request: nobody gets an answer any more. */
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
