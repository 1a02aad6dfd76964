import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { InjectOAuthHttp } from 'nestjs-oauth-client';
import { map, type Observable } from 'rxjs';

/** Buoy's proposals for what a patient may mean, best match first. */
export interface ComplaintSuggestions {
  text: string;
  suggestions: string[];
}

@Injectable()
export class TriageService {
  constructor(@InjectOAuthHttp('buoy') private readonly buoy: HttpService) {}

  suggest(text: string): Observable<ComplaintSuggestions> {
    return this.buoy
      .get<ComplaintSuggestions>('/symptom-checker/v2/queries/', { params: { text } })
      .pipe(map(({ data }) => ({ text: data.text, suggestions: data.suggestions })));
  }
}
