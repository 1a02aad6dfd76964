import { Catch, HttpException, type ExceptionFilter } from '@nestjs/common';
import { throwError, type Observable } from 'rxjs';
import { rejectedClientOf } from '../http/refusals.js';
import { AuthorizationServerUnavailableError, OAuthClientError } from '../core/errors.js';
import type { OAuthClientErrorCode } from '../core/errors.js';

const PROBLEMS = {
  502: { title: 'Bad Gateway', what: 'refused our request for access, or gave an unusable answer' },
  503: { title: 'Service Unavailable', what: 'cannot authorise us at present' },
  504: { title: 'Gateway Timeout', what: 'did not authorise us in time' },
};
/** The errors that a partner causes. */
const STATUS: Partial<Record<OAuthClientErrorCode, keyof typeof PROBLEMS>> = {
  token_request_rejected: 502,
  token_response_invalid: 502,
  credentials_unavailable: 502,
  authorization_server_unavailable: 503,
  closed: 503,
};

/** A partner's failure as an RFC 9457 problem. It holds the client and the code, and no detail of the failure. */
export interface PartnerProblem {
  type: 'about:blank';
  title: string;
  status: keyof typeof PROBLEMS;
  detail: string;
  client: string | undefined;
  code: string;
}

/** A partner's failure as an HTTP exception; GraphQL servers pass on its `extensions`. */
export class PartnerFailure extends HttpException {
  override readonly name = 'PartnerFailure';
  readonly retryAfterSeconds: number | undefined;
  readonly problem: PartnerProblem;
  readonly extensions: Pick<PartnerProblem, 'client' | 'code' | 'status'>;

  constructor(status: keyof typeof PROBLEMS, code: string, client: string | undefined, cause: Error) {
    const { title, what } = PROBLEMS[status];
    const isRejected = code === 'token_rejected';
    const detail = `The partner behind "${client}" ${isRejected ? 'did not accept our token' : what}.`;
    const problem = { type: 'about:blank', title, status, detail, client, code } as const;
    super(problem, status, { cause });
    this.message = detail;
    this.problem = problem;
    this.extensions = { client, code, status };
    const askedMs = cause instanceof AuthorizationServerUnavailableError ? cause.retryAfterMs : undefined;
    const seconds = Math.ceil((askedMs ?? 0) / 1000);
    this.retryAfterSeconds = status === 503 ? Math.max(1, seconds) : undefined;
  }

  /** `undefined` for all other errors, which stay as they are. */
  static of(error: unknown): PartnerFailure | undefined {
    const rejected = rejectedClientOf(error);
    if (rejected !== undefined) return new PartnerFailure(502, 'token_rejected', rejected, error as Error);
    if (!(error instanceof OAuthClientError)) return undefined;
    const { code, client } = error;
    const timedOut = error instanceof AuthorizationServerUnavailableError && error.timedOut;
    const status = timedOut ? 504 : STATUS[code];
    return status && new PartnerFailure(status, code, client, error);
  }
}

/** The same for message handlers: it has the shape of an `RpcException`, but does not need `@nestjs/microservices`. */
export class RpcPartnerFailure extends Error {
  override readonly name = 'RpcPartnerFailure';
  readonly #problem: PartnerProblem;

  constructor({ message, problem, cause }: PartnerFailure) {
    super(message, { cause });
    this.#problem = problem;
  }

  getError(): PartnerProblem {
    return this.#problem;
  }
}

/** Answers a message with the problem. Without it, Nest would answer "Internal server error". */
@Catch(RpcPartnerFailure)
export class RpcPartnerFailureFilter implements ExceptionFilter<RpcPartnerFailure> {
  catch(failure: RpcPartnerFailure): Observable<never> {
    return throwError(() => failure.getError());
  }
}
