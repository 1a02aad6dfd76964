import { HttpException } from '@nestjs/common';
import { rejectedClientOf } from '../axios/token-interceptor.js';
import { AuthorizationServerUnavailableError, OAuthClientError } from '../core/errors.js';

const DETAILS = {
  502: 'The partner refused our request for access, or gave an answer of no use.',
  503: 'The partner cannot authorise us at present.',
  504: 'The partner did not authorise us in time.',
};

/** A partner's failure as HTTP: an RFC 9457 problem that names client and code, and nothing else. */
export class PartnerFailure extends HttpException {
  readonly retryAfterSeconds: number | undefined;

  private constructor(
    status: keyof typeof DETAILS,
    code: string,
    client: string | undefined,
    cause: Error,
    retryAfterMs?: number,
  ) {
    const problem = {
      type: 'about:blank',
      title: TITLES[status],
      status,
      detail: DETAILS[status],
      client,
      code,
    };
    super(problem, status, { cause });
    this.retryAfterSeconds = retryAfterMs === undefined ? undefined : Math.ceil(retryAfterMs / 1000);
  }

  /** `undefined` for errors that are not a partner's: they pass untouched. */
  static of(error: unknown): PartnerFailure | undefined {
    const rejected = rejectedClientOf(error);
    if (rejected !== undefined) return new PartnerFailure(502, 'token_rejected', rejected, error as Error);
    if (!(error instanceof OAuthClientError)) return undefined;
    const { code, client } = error;
    switch (code) {
      case 'token_request_rejected':
      case 'token_response_invalid':
      case 'credentials_unavailable':
        return new PartnerFailure(502, code, client, error);
      case 'authorization_server_unavailable': {
        const { timedOut, retryAfterMs } = error as AuthorizationServerUnavailableError;
        return timedOut
          ? new PartnerFailure(504, code, client, error)
          : new PartnerFailure(503, code, client, error, retryAfterMs ?? 1_000);
      }
      case 'closed':
        return new PartnerFailure(503, code, client, error, 1_000);
      default:
        return undefined;
    }
  }
}

const TITLES = { 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout' };
